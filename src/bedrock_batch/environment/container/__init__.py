"""The processing container of SageMaker: its paths and configuration files, its instances, and its end by a signal."""
