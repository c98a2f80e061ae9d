"""What a run takes from the answer store, and what it finds of other unfinished runs. The store is `answer_store`."""
