"""The networks: layers and forward passes only, no data, no loss and no training."""
