"""LLM answers for every row of a data set, by Amazon Bedrock batch inference or in real time."""

__version__ = "0.1.0"
