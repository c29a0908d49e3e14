"""From files to batches: sources, the decoded cache, the order of samples and the batches."""
