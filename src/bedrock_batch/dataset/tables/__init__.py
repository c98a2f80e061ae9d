"""Files of rows: CSV, TSV and Parquet, read in blocks and written atomically. Knows no splits and no pandas frames."""
