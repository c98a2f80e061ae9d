"""What a run costs: prices, the estimate before it, the costs during it, and the limit. Sends no request."""
