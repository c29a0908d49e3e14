"""Devices, precision, memory and what else depends on the hardware."""
