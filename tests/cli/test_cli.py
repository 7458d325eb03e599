"""Commands on a data directory and on a server, exit codes, one sentence for every error."""

import json
import socket
from pathlib import Path

import pytest
from command import run
from events import event, lines
from server_process import start_server

from monitor import __version__

DATA = Path(__file__).parents[2] / "data"


def test_help_lists_every_command_and_version_is_printed(tmp_path: Path) -> None:
    text = run("--help", cwd=tmp_path).stdout
    for command in (
        "up",
        "server",
        "ui",
        "demo",
        "ingest",
        "labels",
        "reference",
        "evaluate",
        "rebuild",
        "status",
        "config",
    ):
        assert f" {command} " in text
    assert run("--version", cwd=tmp_path).stdout.strip() == f"driftdeck {__version__}"


def test_a_directory_without_a_server_is_opened_by_the_command_itself(
    tmp_path: Path,
) -> None:
    reference = run(
        "reference",
        "set",
        "flight-delay",
        str(DATA / "reference.parquet"),
        "--label",
        "label",
        cwd=tmp_path,
    )
    assert reference.returncode == 0, reference.stderr
    assert "flight-delay: reference of 5,000 rows" in reference.stdout
    first = run("ingest", str(DATA / "events.jsonl"), "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["accepted"] == 2500
    again = run("ingest", str(DATA / "events.jsonl"), cwd=tmp_path)
    assert again.returncode == 0
    labels = run(
        "labels", str(DATA / "labels.csv"), "--model", "flight-delay", cwd=tmp_path
    )
    assert labels.returncode == 0, labels.stderr
    status = json.loads(run("status", "--json", cwd=tmp_path).stdout)
    (model,) = status["models"]
    assert (model["model"], model["events"], model["task"]) == (
        "flight-delay",
        2500,
        "binary",
    )
    assert status["accounting"]["stored"] == 2500 + model["labels"]
    assert "flight-delay" in run("status", cwd=tmp_path).stdout
    assert "2,500 rows read" in run("rebuild", cwd=tmp_path).stdout
    assert (
        "evaluations"
        in run("evaluate", "flight-delay", "--from", "2026-11-01", cwd=tmp_path).stdout
    )


def test_commands_find_the_server_that_owns_the_directory(tmp_path: Path) -> None:
    process, url = start_server(tmp_path / "driftdeck-data")
    try:
        (tmp_path / "rows.jsonl").write_bytes(lines(*(event(i) for i in range(10))))
        assert "10 events accepted" in run("ingest", "rows.jsonl", cwd=tmp_path).stdout
        assert (
            json.loads(run("status", "--json", cwd=tmp_path, DRIFTDECK_URL=url).stdout)[
                "accounting"
            ]["stored"]
            == 10
        )
    finally:
        process.terminate()
        process.wait()
    assert not (tmp_path / "driftdeck-data" / "server.json").exists()
    assert (
        json.loads(run("status", "--json", cwd=tmp_path).stdout)["accounting"]["stored"]
        == 10
    )


def test_columns_of_any_file_are_mapped(tmp_path: Path) -> None:
    rows = [
        "when,score,took,outcome,age,note",
        *(f"2026-11-20T10:{i:02d}:00Z,0.{i},1{i},{i % 2},{20 + i},n" for i in range(9)),
    ]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    options = [
        "--model",
        "m",
        "--timestamp",
        "when",
        "--prediction",
        "score",
        "--latency",
        "took",
        "--label",
        "outcome",
        "--features",
        "age",
    ]
    done = run("ingest", "log.csv", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "9 events accepted, 9 labels, 0 refused" in done.stdout
    (model,) = json.loads(run("status", "--json", cwd=tmp_path).stdout)["models"]
    assert (model["events"], model["labels"], model["features"]) == (9, 9, 1)
    assert (
        "9 events accepted" in run("ingest", "log.csv", *options, cwd=tmp_path).stdout
    )
    assert (
        json.loads(run("status", "--json", cwd=tmp_path).stdout)["models"][0]["events"]
        == 9
    )  # the file again added nothing


def test_old_rows_and_their_labels_are_taken_with_max_age_after_a_refusal(
    tmp_path: Path,
) -> None:
    rows = [
        "ts,prediction,label,x",
        *(f"2013-05-0{i + 1}T00:00:00Z,0.5,{i % 2},{i}" for i in range(6)),
    ]
    (tmp_path / "old.csv").write_text("\n".join(rows))
    options = ["old.csv", "--model", "m", "--label", "label"]
    refused = run("ingest", *options, cwd=tmp_path)
    assert refused.returncode == 5
    # six events and their six labels
    assert "0 events accepted, 12 refused" in refused.stdout
    taken = run("ingest", *options, "--max-age", "9000", cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
    assert "6 events accepted, 6 labels, 0 refused" in taken.stdout
    (model,) = json.loads(run("status", "--json", cwd=tmp_path).stdout)["models"]
    assert (model["events"], model["labels"]) == (6, 6)


def test_one_bad_row_in_the_middle_is_named_and_the_exit_code_says_so(
    tmp_path: Path,
) -> None:
    rows = [
        "ts,prediction,x",
        *(f"2026-11-20T10:{i:02d}:00Z,0.5,{i}" for i in range(9)),
    ]
    rows[5] = "soon,0.5,4"
    (tmp_path / "log.csv").write_text("\n".join(rows))
    done = run("ingest", "log.csv", "--model", "m", cwd=tmp_path)
    assert done.returncode == 5
    assert "8 events accepted, 1 refused" in done.stdout
    assert "log.csv line 6: `ts` 'soon' is not a time" in done.stderr
    assert (
        run(
            "ingest", "log.csv", "--model", "m", "--allow-refused", cwd=tmp_path
        ).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ingest", "nope.csv", "--model", "m"], 3, "nope.csv does not exist"),
        (["ingest", "empty.csv", "--model", "m"], 1, "empty.csv is empty"),
        (
            ["ingest", "rows.xlsx", "--model", "m"],
            3,
            "ending .xlsx is not known; known:",
        ),
        (["ingest", "rows.csv"], 1, "--model NAME"),
        (
            ["ingest", "rows.csv", "--model", "m", "--timestamp", "when"],
            1,
            "no column 'when'; columns: ts, x",
        ),
        (
            ["ingest", "rows.csv", "--model", "m", "--url", "http://127.0.0.1:1"],
            4,
            "no driftdeck server responds at http://127.0.0.1:1",
        ),
        (["ingest", "empty-folder", "--model", "m"], 3, "no files of a known format"),
        (["reference", "set", "m"], 1, "give a file, or both --from and --to"),
        (
            ["reference", "set", "m", "--from", "2026-01-01", "--to", "2026-02-01"],
            1,
            "there is no model 'm'",
        ),
        (["evaluate", "m", "--from", "2026-01-01"], 3, "there is no data"),
        (["config", "check", "wrong.toml"], 2, "wrong.toml has 2 errors"),
        (
            ["ingest", "rows.csv", "--model", "m", "--config", "wrong.toml"],
            2,
            "rules[0].limit is missing",
        ),
        (["server", "--host", "0.0.0.0"], 2, "set DRIFTDECK_KEY"),
        (
            ["ingest", "rows.csv", "--model", "m", "--data", "rows.csv/x"],
            3,
            "cannot be used",
        ),
        (["status"], 3, "there is no data in driftdeck-data yet"),
        (["reference", "set", "m", "nope.csv"], 3, "nope.csv does not exist"),
        (["labels", "empty.csv"], 1, "empty.csv is empty"),
        (["server", "--port", "80000"], 2, "65535"),
        (["up", "--config", "wrong.toml"], 2, "wrong.toml has 2 errors"),
        (["frobnicate"], 2, "No such command"),
        (["status", "--nope"], 2, "No such option"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "rows.csv").write_text("ts,x\n2026-11-20T10:00:00Z,1\n")
    (tmp_path / "rows.xlsx").write_text("x")
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "wrong.toml").write_text('[[rules]]\nname = "a"\nstatistic = "psl"\n')
    done = run(*arguments, cwd=tmp_path)
    assert words in done.stderr, (done.returncode, done.stdout, done.stderr)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("server", "ui", "up"):
            done = run(command, "--port", port, cwd=tmp_path)
            assert done.returncode == 3
            assert (
                f"port {port} on 127.0.0.1 is in use by another program; choose another with --port"
                in done.stderr
            )


@pytest.mark.parametrize("command", ["ui", "up"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_dashboard_that_anybody_could_reach_is_refused(
    tmp_path: Path, command: str, host: str
) -> None:
    done = run(command, "--host", host, cwd=tmp_path)
    assert done.returncode != 0
    assert "--behind-proxy" in done.stderr and "Traceback" not in done.stderr


def test_rows_that_cannot_be_read_are_accounted_for_with_their_line(
    tmp_path: Path,
) -> None:
    rows = [
        "event_id,ts,prediction,age",
        "a,2026-11-20T00:00:00Z,0.5,3",
        "b,short",
        "c,1999-01-01T00:00:00Z,0.5,3",
        "d,bad,0.5,x",
        "e,f",
    ]
    (tmp_path / "f.csv").write_text("\n".join(rows))
    done = run("ingest", "f.csv", "--model", "m", cwd=tmp_path)
    assert "1 events accepted, 4 refused" in done.stdout
    for line in (3, 4, 5, 6):
        assert f"f.csv line {line}: " in done.stderr
    counts = json.loads(run("status", "--json", cwd=tmp_path).stdout)["accounting"]
    assert (counts["received"], counts["stored"], counts["refused"]) == (5, 1, 4)


def test_a_directory_owned_by_a_process_without_server_is_named(tmp_path: Path) -> None:
    process, _ = start_server(tmp_path / "driftdeck-data")
    try:
        (tmp_path / "driftdeck-data" / "server.json").unlink()
        done = run("status", cwd=tmp_path)
        assert done.returncode == 3
        assert f"in use by another process (PID {process.pid})" in done.stderr
    finally:
        process.kill()
        process.wait()


def test_config_check_says_what_it_found(tmp_path: Path) -> None:
    assert "the defaults" in run("config", "check", cwd=tmp_path).stdout
    assert (
        "1 models"
        in run("config", "check", str(DATA / "driftdeck.toml"), cwd=tmp_path).stdout
    )
