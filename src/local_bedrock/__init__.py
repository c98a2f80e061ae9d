"""A local Amazon Bedrock over HTTP: batch inference, InvokeModel, Converse, and S3 beside them."""
