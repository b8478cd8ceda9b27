"""From a description to arrays on this rank's device: partition, quanta, rows, routing."""
