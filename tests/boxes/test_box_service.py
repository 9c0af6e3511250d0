"""The installed service at work: reached over HTTP, watched in the journal, reloaded, confined."""

import re

import pytest
from recordings import conversation

from boxes.box import Box

WORDS = ("jersey", "texas")
"""Said in the conversation."""


def test_a_boot_brings_the_service_up(box: Box) -> None:
    assert box.show("ActiveState") == "active"
    assert box.show("NRestarts") == "0"
    assert box.get("/health/ready").status == 200
    assert box.systemctl("is-system-running").stdout.strip() == "running"


def test_another_program_gets_the_text_of_its_recording(box: Box) -> None:
    reply = box.post("/transcribe", conversation(), language="en")
    assert reply.status == 200, reply.body
    assert all(word in reply.json()["text"].lower() for word in WORDS)


def test_speakers_are_told_apart_on_the_cpu_inside_the_sandbox(box: Box) -> None:
    reply = box.post("/v1/audio/diarization", conversation())
    assert reply.status == 200, reply.body
    assert len({turn["speaker"] for turn in reply.json()["segments"]}) == 2


def test_words_and_speakers_come_in_one_answer(box: Box) -> None:
    reply = box.post(
        "/v1/audio/transcriptions", conversation(), model="whisper-1", response_format="diarized_json"
    )
    assert reply.status == 200, reply.body
    segments = reply.json()["segments"]
    assert len({segment["speaker"] for segment in segments}) == 2
    assert all(word in " ".join(segment["text"] for segment in segments).lower() for word in WORDS)


def test_each_request_is_one_line_in_the_journal_with_fields_and_without_its_text(box: Box) -> None:
    options = ("--form", f"file=@{conversation()}", "--header", "X-Request-ID: journal-test")
    reply = box.send("/transcribe", *options).reply()
    assert reply.status == 200, reply.body
    lines = [entry for entry in box.journal() if entry.get("REQUEST_ID") == "journal-test"]
    assert len(lines) == 1
    line = lines[0]
    assert line["PRIORITY"] == "6"
    assert line["OUTCOME"] == "ok"
    assert line["DEVICE"] == "cpu"
    assert line["MODEL"] == "tiny.en"
    assert float(line["AUDIO_S"]) == pytest.approx(30, abs=0.5)
    assert float(line["WALL_S"]) > 0
    assert not [word for word in WORDS if word in box.messages().lower()]


def test_a_refused_request_says_so_in_the_journal(box: Box) -> None:
    options = ("--form-string", "file=x", "--header", "X-Request-ID: refused-test")
    reply = box.send("/transcribe", *options).reply()
    assert reply.status == 422
    lines = [entry for entry in box.journal() if entry.get("REQUEST_ID") == "refused-test"]
    assert [line["OUTCOME"] for line in lines] == ["refused"]


def test_the_command_line_of_an_ordinary_user_reaches_the_service(box: Box) -> None:
    box.run("cp", "/conversation.wav", "/tmp/conversation.wav")
    text = box.output("runuser", "-u", "nobody", "--", "whisperd", "transcribe", "/tmp/conversation.wav")
    assert all(word in text.lower() for word in WORDS)


def test_the_doctor_finds_nothing_that_keeps_a_job_from_running(box: Box) -> None:
    box.run("whisperd", "doctor")


def test_every_process_is_without_privileges_and_filtered(box: Box) -> None:
    for pid in box.processes():
        status = box.output("cat", f"/proc/{pid}/status")
        facts = dict(re.findall(r"^(\w+):\s+(\S+)", status, re.MULTILINE))
        assert facts["Uid"] == box.output("id", "-u", "whisperd")
        assert facts["NoNewPrivs"] == "1"
        assert facts["Seccomp"] == "2"
        assert int(facts["CapEff"], 16) == 0
        assert int(facts["CapBnd"], 16) == 0


def test_the_sandbox_is_as_tight_as_promised(box: Box) -> None:
    # the threshold is ten times the score
    done = box.run("systemd-analyze", "security", "--threshold=20", "whisperd.service", check=False)
    assert done.returncode == 0, done.stdout


def test_the_service_writes_nowhere_but_in_its_own_directories(box: Box) -> None:
    elsewhere = box.output(
        "sh", "-c", "find / -xdev -user whisperd ! -path '/var/lib/whisperd*' ! -path '/var/cache/whisperd*'"
    )
    assert elsewhere == ""


def test_the_journal_has_no_warnings(box: Box) -> None:
    # `auto` that ends on the CPU is told once, on purpose
    warnings = [entry["MESSAGE"] for entry in box.journal() if int(entry.get("PRIORITY", 6)) <= 4]
    assert all("CPU" in message for message in warnings), warnings


def test_a_reload_applies_what_can_change(box: Box) -> None:
    pid = box.main_pid()
    box.run("whisperd", "config", "set", "log.level", "debug")
    box.systemctl("reload", "whisperd.service")
    assert box.main_pid() == pid
    assert "log.level" in box.messages()


def test_a_refused_reload_fails_with_the_reason_and_changes_nothing(box: Box) -> None:
    pid = box.main_pid()
    box.write("/etc/whisperd.toml.d/mistake.toml", '[log]\nlevel = "loud"\n')
    try:
        assert box.systemctl("reload", "whisperd.service", check=False).returncode != 0
        assert "log.level" in box.messages()
        assert "log.level" in box.show("StatusText")
        assert box.main_pid() == pid
        assert box.show("ActiveState") == "active"
        assert box.get("/health/ready").status == 200
    finally:
        box.run("rm", "/etc/whisperd.toml.d/mistake.toml")
    box.systemctl("reload", "whisperd.service")
    assert "log.level" not in box.show("StatusText")
