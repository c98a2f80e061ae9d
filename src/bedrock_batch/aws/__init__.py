"""The one door to AWS: clients, operations, and `calls`, how they fail. Only this package imports boto3 or botocore."""
