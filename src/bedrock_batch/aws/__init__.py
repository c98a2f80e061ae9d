"""The one door to AWS: clients, calls, retries and errors. Only modules of this package import boto3 or botocore."""
