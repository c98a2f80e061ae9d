"""Mutants of the package `ledger`."""

from faults.simulation.mutants.mutant import Mutant

LEDGER, TAKEOVER, STORE, LOCAL_STORE, JOURNAL, FENCE = (
    f"ledger/{name}.py" for name in ("ledger", "takeover", "s3_store", "local_store", "journal", "fence")
)

MUTANTS = (
    # The ledger and its claim.
    Mutant(
        TAKEOVER,
        "a living owner is taken for dead",
        "later is None or later[1] == found[1]",
        "later is None or later[1] != found[1]",
    ),
    Mutant(TAKEOVER, "nobody waits to see whether the owner lives", "    sleep(lease)\n    later", "    later"),
    Mutant(TAKEOVER, "an owner is not looked for", "document.owner is not None and not store.is_exclusive", "False"),
    Mutant(TAKEOVER, "the claim names no owner", "    document.owner = uuid4().hex\n", ""),
    Mutant(
        LEDGER,
        "a process writes over its successor's document",
        "found is None or parse_document(found[0], self.location).owner != self._owner",
        "found is None",
    ),
    Mutant(
        LEDGER,
        "an own write that came late is taken for another's",
        "parse_document(found[0], self.location).owner != self._owner",
        "True",
    ),
    Mutant(
        LEDGER,
        "the lease is counted from the end of a slow write",
        "self.fence.held_since(readings)",
        "self.fence.held_since(self.fence.read_clocks())",
    ),
    Mutant(
        LEDGER,
        "the states of jobs are not written",
        "self._document.jobs.append(entry.model_copy())\n            self.store()",
        "self._document.jobs.append(entry.model_copy())",
    ),
    Mutant(LEDGER, "the mode of a run is not written", '{"mode": mode})\n            self.store()', '{"mode": mode})'),
    Mutant(LEDGER, "the end of a run is not written", '"finished": True', '"finished": False'),
    Mutant(LEDGER, "a process does not give its run back", 'update={"owner": None}', "update={}"),
    Mutant(TAKEOVER, "the owner beats too seldom", "lease / HEARTBEATS_PER_LEASE", "lease * HEARTBEATS_PER_LEASE"),
    Mutant(LEDGER, "a beat changes nothing in the document", "self._document.beat += 1", "pass"),
    Mutant(TAKEOVER, "failures that may pass are kept for ever", "failures=document.finished", "failures=True"),
    Mutant(TAKEOVER, "a finished run asks again what had failed", "failures=document.finished", "failures=False"),
    # The fence.
    Mutant(FENCE, "the fence trusts an old write", "OVERDUE_SHARE = 2 / 3", "OVERDUE_SHARE = 3 / 2"),
    Mutant(FENCE, "a suspended machine's clock is believed", "return any(", "return all("),
    Mutant(
        FENCE,
        "the fence lets everybody pass",
        "        return not is_overdue(self.read_clocks(), self._last, self._lease)",
        "        return True",
    ),
    # Where the ledger is kept.
    Mutant(STORE, "two starts at once both begin a run", "data, if_none_match=True", "data, if_none_match=False"),
    Mutant(
        STORE,
        "another's document is written over",
        "self._storage.replace_bytes(self.location, data, tag)",
        "self._storage.put_bytes(self.location, data)",
    ),
    Mutant(
        STORE,
        "a lost response is taken for another process",
        "stored is not None and stored[0] == data",
        "stored is not None and False",
    ),
    Mutant(
        STORE,
        "another's document is taken for the own one",
        "stored is not None and stored[0] == data",
        "stored is not None",
    ),
    Mutant(
        LOCAL_STORE, "the lock of a folder is shared", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB"
    ),
    # The journal of real-time answers.
    Mutant(
        JOURNAL,
        "a failure stands before an answer",
        "return (not is_answer, line) < (not was_answer, known)",
        "return (is_answer, line) < (was_answer, known)",
    ),
    Mutant(JOURNAL, "a write of answers replaces the one before", "self._sequence += 1", "pass"),
    Mutant(JOURNAL, "a start's answers replace those of another", 'f"{self._owner}-{', 'f"x-{'),
    Mutant(
        JOURNAL,
        "the place of an answer is noted after it",
        "self._places[key] = end",
        "self._places[key] = file.tell()",
    ),
    Mutant(JOURNAL, "an answer is kept under another row", '"number": output.number,', '"number": output.number + 1,'),
    Mutant(
        JOURNAL,
        "why a row was asked is forgotten",
        'key = entry["number"], entry["purpose"]',
        'key = entry["number"], "first"',
    ),
)
