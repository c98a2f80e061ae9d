"""The one door to AWS: only modules of this package import boto3 or botocore."""
