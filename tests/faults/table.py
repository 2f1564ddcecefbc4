"""Which fault scenario is held by which test, and how its fault is brought about: `python -m tests.faults.table`."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """A row of the table. `tests` are names in `tests/faults/`, as file::test."""

    number: str
    fault: str
    outcome: str
    how: str
    tests: tuple[str, ...]


SCENARIOS = (
    Scenario(
        "1",
        "kill -9 after a receive",
        "The messages come once more when their visibility ends, with one receive more each.",
        "the proxy kills the worker when SQS has answered, before it hears so",
        ("test_kills.py::test_after_a_receive_the_message_comes_once_more",),
    ),
    Scenario(
        "2",
        "kill -9 with a batch half full",
        "Nothing of the batch is in the lake; another worker lands its messages.",
        "the test kills the worker when it was told of all messages",
        ("test_kills.py::test_with_a_batch_half_full_nothing_is_in_the_lake",),
    ),
    Scenario(
        "3",
        "kill -9 after a PUT (raw object, refined object, manifest)",
        "The raw object is an orphan that is never loaded; refined ones are found and described, and load once.",
        "the proxy kills three workers in turn when S3 has the object",
        ("test_kills.py::test_after_an_object_was_stored_and_before_it_is_announced",),
    ),
    Scenario(
        "4",
        "kill -9 after COPY, before COMMIT",
        "The transaction is rolled back; the next worker loads the same files once.",
        "the proxy kills the worker when COPY is answered",
        ("test_kills.py::test_after_copy_nothing_is_committed",),
    ),
    Scenario(
        "5",
        "kill -9 after COMMIT, before any delete",
        "The notices come again; the ledger knows their files, and they are deleted without a second load.",
        "the proxy kills the worker when the COMMIT of a load is answered",
        ("test_kills.py::test_after_commit_the_files_are_known_and_not_copied_again",),
    ),
    Scenario(
        "6",
        "kill -9 between two delete calls",
        "The messages that were not deleted are landed again, and the warehouse drops their records.",
        "the proxy lets one of three calls through, holds the others, and kills",
        (
            "test_kills.py::test_between_two_delete_calls",
            "test_kills.py::test_around_each_call_to_each_queue",
        ),
    ),
    Scenario(
        "7",
        "COMMIT's answer is lost",
        "The ledger is read under its lock before anything is copied again; no file is committed twice.",
        "the proxy has COMMIT done and resets the connection",
        ("test_answers.py::test_lost_answer_to_commit_the_ledger_is_asked_before_a_second_copy",),
    ),
    Scenario(
        "8",
        "A PUT's answer is lost",
        "The second PUT is refused (412), and the object that is there is described; nothing fails.",
        "the proxy has the PUT done and resets the connection: raw object, refined object, manifest",
        ("test_answers.py::test_lost_answer_to_a_put_the_object_that_is_there_is_described",),
    ),
    Scenario(
        "9",
        "A receive's answer is lost",
        "Its messages come again when their visibility ends; that is no failure.",
        "the proxy has the receive done and resets the connection",
        ("test_answers.py::test_lost_answer_to_a_receive_the_messages_come_again",),
    ),
    Scenario(
        "10",
        "Deletions fail: three of ten, a whole call, an answer that is lost",
        "What was not deleted comes again and is deleted then; no record is there twice.",
        "the proxy answers for three entries, refuses one call with 503, and resets one connection",
        ("test_answers.py::test_deletions_that_fail_in_part_whole_and_unheard",),
    ),
    Scenario(
        "10 (b)",
        "An answer of SQS breaks off, is empty, or names no entry",
        "What the answer does not name is not done: it is sent and deleted again. Half a receive is no empty queue.",
        "the proxy cuts answers in half, or answers 200 itself with no body or an empty one",
        (
            "test_answers.py::test_a_notice_is_sent_when_the_answer_says_so_and_not_before",
            "test_answers.py::test_dead_letters_are_sent_when_the_answer_says_so_and_not_before",
            "test_answers.py::test_deletions_are_done_when_the_answer_says_so_and_not_before",
            "test_answers.py::test_a_receive_whose_answer_broke_off_is_no_empty_queue",
        ),
    ),
    Scenario(
        "11",
        "Dead letters are sent in part, and weigh more than a call may",
        "Calls stay under 1 MiB; a message is deleted only when its letter was taken; bodies are kept byte for byte.",
        "the proxy answers for one and two entries, then refuses with 503",
        ("test_answers.py::test_dead_letters_that_are_sent_in_part",),
    ),
    Scenario(
        "12",
        "One message reaches two workers, and comes again after its deletion",
        "Each record is in the table once; the ledger counts the others as duplicates.",
        "the proxy gives a second worker the first one's answer, then once more after all is deleted",
        ("test_answers.py::test_one_message_for_two_workers_and_once_more_after_its_deletion",),
    ),
    Scenario(
        "14 (a)",
        "Work is slower than the visibility, and extensions fail",
        "The worker sees that its claims have expired, and deletes nothing with them.",
        "the proxy refuses uploads and extensions for longer than 62 seconds",
        ("test_waiting.py::test_work_slower_than_a_visibility_that_cannot_be_extended",),
    ),
    Scenario(
        "14 (b)",
        "Extensions are acknowledged and do nothing",
        "Another worker has the same messages; both land them, each record is in the table once.",
        "the proxy shortens the visibility that is asked for, and holds an upload until it has answered an extension",
        ("test_waiting.py::test_extensions_that_are_acknowledged_and_do_nothing",),
    ),
    Scenario(
        "17",
        "SQS, S3, the warehouse, SNS or the credentials are out of reach, or their names do not resolve",
        "The worker lives, is not ready, goes on with what it can, and catches up; nothing is a dead letter. "
        "Without SNS everything goes on, and mail goes out later.",
        "the proxy, and the credentials endpoint, reset every call for a while; lookups of names fail in uvloop",
        (
            "test_outages.py::test_sqs_then_s3_then_the_warehouse_are_cut_off",
            "test_outages.py::test_credentials_cannot_be_renewed",
            "test_waiting.py::test_names_that_do_not_resolve",
            "test_waiting.py::test_nobody_can_be_mailed",
        ),
    ),
    Scenario(
        "18",
        "S3 is silent, stops in the middle of a body, or gives a kilobyte a second",
        "Time limits end the wait, the probes answer meanwhile, and the work is done again.",
        "the proxy does not answer a PUT, and stalls or slows the body of a GET",
        (
            "test_waiting.py::test_objects_that_stall",
            "test_waiting.py::test_an_object_that_trickles",
        ),
    ),
    Scenario(
        "19",
        "S3 answers 503 SlowDown to everything, then to a third; KMS throttles",
        "The breaker lets one piece of work try for all, so that the storm is not answered with one.",
        "the proxy answers, with a seed",
        ("test_outages.py::test_a_storm_of_slow_down_is_not_answered_with_a_storm",),
    ),
    Scenario(
        "20",
        "S3 keeps or gives other bytes",
        "An answer that breaks off or is short is asked for again. A broken object is not announced, also when it is "
        "found later: it is removed and stored anew.",
        "the proxy cuts bodies, alters them on their way to the store, loses answers and refuses removals",
        (
            "test_storage.py::test_an_answer_that_breaks_off_is_asked_for_again",
            "test_storage.py::test_an_answer_that_is_short_and_looks_whole_is_asked_for_again",
            "test_storage.py::test_a_short_answer_that_nothing_proves_short_is_asked_for_again",
            "test_storage.py::test_an_object_that_is_stored_otherwise_is_not_announced",
            "test_storage.py::test_a_broken_object_that_nobody_heard_of_is_not_announced_when_it_is_found",
            "test_storage.py::test_a_broken_object_that_could_not_be_removed_is_not_announced_later",
        ),
    ),
    Scenario(
        "21",
        "The warehouse refuses: 1023, a deadlock, a timeout, a resize, a password, a role",
        "The same work is tried again; no message is received twice for it, and nothing is a dead letter.",
        "the proxy answers statements and logins with these errors, one after the other",
        ("test_outages.py::test_the_warehouse_refuses_in_every_way_that_is_not_the_datas_fault",),
    ),
    Scenario(
        "22",
        "One bad file among five hundred",
        "It is found in at most 18 COPYs, and 3 where Redshift names it; the other 499 load once.",
        "the proxy refuses every COPY whose manifest holds that file",
        ("test_data.py::test_one_bad_file_of_five_hundred",),
    ),
    Scenario(
        "23",
        "Records drift, and a definition grows by a column in front",
        "Values stand in their own columns, in files of both definitions; bad records cost themselves.",
        "generated records, and a worker killed before COPY while the definition changes",
        ("test_data.py::test_records_that_drift_and_a_definition_that_grows",),
    ),
    Scenario(
        "25",
        "Messages of nearly 1 MiB arrive faster than they can be stored",
        "Receiving stops at the limit; memory stays below a bound, and everything is loaded.",
        "the proxy holds uploads while 48 MB of messages wait",
        ("test_data.py::test_messages_of_one_mebibyte_fill_no_more_than_their_share",),
    ),
    Scenario(
        "27",
        "Poison: bodies made to break a reader",
        "The process survives; each has the code that fits it, and the messages beside it are loaded.",
        "a corpus sent among good messages",
        ("test_data.py::test_poison_costs_itself_alone",),
    ),
    Scenario(
        "28",
        "Names and notices that reach for other places",
        "They are dead letters; the proxy saw no call to a queue, prefix or table that is not ours.",
        "a corpus of dataset names, and of notices on the refine and load queues",
        ("test_data.py::test_nothing_reaches_for_places_that_are_not_ours",),
    ),
    Scenario(
        "29",
        "SIGTERM in every phase, twice, and while the warehouse hangs; SIGSTOP, then SIGCONT",
        "It ends in time, with the exit code that the docs say; a process that slept does no harm.",
        "the proxy sends the signal when the phase's call arrives; for encoding, and for judging with the writing of "
        "Parquet, which make no calls, when the answer before is there. Not tried: half of a PUT sent, of which "
        "S3 keeps nothing",
        (
            "test_signals.py::test_in_the_phases_with_effects",
            "test_signals.py::test_in_every_phase",
            "test_signals.py::test_during_the_start",
            "test_signals.py::test_twice_with_a_warehouse_that_hangs",
            "test_signals.py::test_once_with_a_warehouse_that_hangs",
            "test_signals.py::test_stopped_while_another_does_the_work_then_continued",
            "test_waiting.py::test_a_process_that_slept_for_longer_than_its_claims",
        ),
    ),
    Scenario(
        "30 (kills)",
        "Two workers, kill -9 at random moments while records flow",
        "In the end every record is in the table once, and everything adds up.",
        "the test kills 8 times during 10,000 records, and 50 times during 100,000 (`make faults`)",
        (
            "test_random_kills.py::test_eight_kills_while_ten_thousand_records_flow",
            "test_random_kills.py::test_fifty_kills_while_a_hundred_thousand_records_flow",
        ),
    ),
    Scenario(
        "31",
        "kill -9 of the quarantine layer before and after each of its effects",
        "Each rejected thing is one row of `acequia.errors` and one failure of its fingerprint, has a copy on the "
        "reprocess queue, and left its dead-letter queue after that.",
        "the proxy kills twelve workers at the PUTs of originals, error rows and counts, the sends of notices and "
        "copies, and the deletion; at random calls in `make faults`",
        (
            "test_letters.py::test_killed_before",
            "test_letters.py::test_killed_after",
            "test_letters.py::test_killed_anywhere",
        ),
    ),
    Scenario(
        "31 (mail)",
        "kill -9 before and after each effect of a mail",
        "People are mailed; once more for each death between SNS having it and that being known, and then no more.",
        "the proxy kills ten workers at the PUTs of the mailbox and the states, and at the publishing",
        ("test_letters.py::test_mail_killed",),
    ),
    Scenario(
        "32",
        "kill -9 and Ctrl-C of `acequia reprocess` at each of its effects",
        "The same command goes on; what was chosen is in the warehouse once, and resolved. Ctrl-C ends with 130 and a "
        "sentence.",
        "the proxy kills 17 commands, and interrupts others: at PUTs of rounds, portions, rows and states, at sends "
        "and deletions; at random calls in `make faults`",
        (
            "test_commands.py::test_run_killed",
            "test_commands.py::test_run_killed_behind",
            "test_commands.py::test_run_killed_before_what_is_behind",
            "test_commands.py::test_messages_killed",
            "test_commands.py::test_run_killed_anywhere",
        ),
    ),
    Scenario(
        "33",
        "kill -9 and Ctrl-C of `acequia reconcile --repair` and `acequia replay`",
        "The same command goes on, `replay` with the words that it said at its end; the table has each record once, "
        "as of the new definition, the lake no other files, and `reconcile` says that it adds up.",
        "notices are taken from queues; the proxy kills commands at their sends, and workers around COMMIT and the "
        "removal of what a replay replaced",
        ("test_commands.py::test_repair_killed", "test_commands.py::test_replay_killed"),
    ),
)


def markdown() -> str:
    """The table as the docs have it."""
    rows = ["| # | fault | what holds | how it is brought about | test |", "| --- | --- | --- | --- | --- |"]
    for one in SCENARIOS:
        tests = "<br>".join(f"`{name}`" for name in one.tests)
        rows.append(f"| {one.number} | {one.fault} | {one.outcome} | {one.how} | {tests} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
