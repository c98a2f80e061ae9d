"""The HTTP server, and the protocol of AWS by botocore's service models. No behaviour of Bedrock."""
