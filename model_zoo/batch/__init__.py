"""Batch inference: detect on all images of folders, object stores, Parquet files and WebDataset shards. No torch."""
