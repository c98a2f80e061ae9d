"""Batch jobs: their life, their records and their files in S3. The API operations on jobs are in `operations`."""
