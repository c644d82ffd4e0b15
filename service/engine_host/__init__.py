"""One process with the engines, which front ends in other processes share."""
