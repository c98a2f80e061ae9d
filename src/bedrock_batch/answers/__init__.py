"""From the outputs of models to the columns of a table: parsing, repair, validation and storage. Sends no request."""
