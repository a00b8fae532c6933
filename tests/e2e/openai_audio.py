"""Speech with OpenAI's own Python client, and with the command line: a real service, its decoder and detector, and a
tiny model that always hears the same sentence."""

import json
import os
import subprocess
import sys

import openai

import voice_sound
from openai_service import JARVIS, SPEECH, Service, case, raises, run_cases

TEXT = "Una prueba de voz."


def sound(service, name, *parts):
    path = os.path.join(service.root, name)
    return path if os.path.exists(path) else voice_sound.write(path, *parts)


def spoken(service):
    """Two seconds of a voice after one of silence, a pause, and one and a half seconds more."""
    quiet = voice_sound.silence
    return sound(service, "spoken.wav", quiet(1), voice_sound.voice(2), quiet(1.5), voice_sound.voice(1.5), quiet(1))


def transcribe(service, path, **options):
    with open(path, "rb") as file:
        return service.client.audio.transcriptions.create(model=SPEECH, file=file, **options)


def command(service, *words):
    environment = dict(os.environ, JARVIS_HOME=service.home, LC_ALL="C.UTF-8")
    return subprocess.run([JARVIS, "transcribe", *words], env=environment, capture_output=True, text=True, check=False)


@case
def speech_becomes_text(service):
    answer = transcribe(service, spoken(service))
    assert answer.text == f"{TEXT} {TEXT}", answer.text
    assert answer.usage.type == "duration" and answer.usage.seconds == 7


@case
def words_have_times(service):
    answer = transcribe(
        service, spoken(service), response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert answer.language == "es" and abs(answer.duration - 7) < 0.1
    first, second = answer.segments
    assert first.text == second.text == TEXT
    assert 0.8 < first.start < 1.3 and 2.8 < first.end < 3.5, first
    assert 4.2 < second.start < 4.8 and 5.8 < second.end < 6.5, second
    assert [word.word for word in answer.words[:4]] == TEXT.split()
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[-1] <= 7, times


@case
def subtitles(service):
    text = transcribe(service, spoken(service), response_format="text")
    assert text == f"{TEXT}\n{TEXT}\n", text
    srt = transcribe(service, spoken(service), response_format="srt")
    assert srt.startswith("1\n00:00:0") and " --> " in srt and srt.count(TEXT) == 2, srt
    vtt = transcribe(service, spoken(service), response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:0"), vtt


@case
def stream_gives_segment_by_segment(service):
    events = list(transcribe(service, spoken(service), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"], events
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == f"{TEXT} {TEXT}"


@case
def translation(service):
    with open(spoken(service), "rb") as file:
        assert service.client.audio.translations.create(model=SPEECH, file=file).text == f"{TEXT} {TEXT}"


@case
def silence_and_hum_reach_no_model(service):
    path = sound(service, "quiet.wav", voice_sound.silence(3), voice_sound.hum(5), voice_sound.silence(3))
    answer = transcribe(service, path, response_format="verbose_json")
    assert answer.text == "" and answer.segments == [], answer
    assert answer.jarvis["pieces"] == 0 and answer.jarvis["given_seconds"] == 0, answer.jarvis


@case
def bad_requests(service):
    for name, content in (("a.txt", b"# no sound"), ("a.wav", b""), ("a.wav", b"RIFF\x10\0\0\0WAVE")):
        with raises(openai.APIStatusError):
            service.client.audio.transcriptions.create(model=SPEECH, file=(name, content))
    with raises(openai.NotFoundError, "model_not_found"):
        with open(spoken(service), "rb") as file:
            service.client.audio.transcriptions.create(model="none", file=file)
    with raises(openai.BadRequestError, "unsupported"):
        transcribe(service, spoken(service), language="klingon")
    assert transcribe(service, spoken(service), language="en").text, "the service goes on"


@case
def command_line(service):
    path = spoken(service)
    plain = command(service, path)
    assert plain.returncode == 0 and plain.stdout == f"{TEXT}\n{TEXT}\n", plain
    whole = command(service, "--format", "verbose_json", "--words", path)
    assert len(json.loads(whole.stdout)["words"]) == 8, whole
    only = command(service, "--vad-only", "--json", path)
    segments = json.loads(only.stdout)["segments"]
    assert len(segments) == 2 and all(set(segment) == {"start", "end"} for segment in segments), only
    assert command(service, os.path.join(service.root, "none.wav")).returncode == 3
    assert command(service, "--language", "klingon", path).returncode == 2
    assert command(service).returncode == 2


@case
def evaluation(service):
    folder = os.path.join(service.root, "recordings")
    os.makedirs(folder, exist_ok=True)
    voice_sound.write(os.path.join(folder, "a.wav"), voice_sound.silence(1), voice_sound.voice(2))
    voice_sound.write(os.path.join(folder, "b.wav"), voice_sound.silence(2))
    with open(os.path.join(folder, "manifest.tsv"), "w", encoding="utf-8") as file:
        file.write("wav\tlanguage\ttext\na.wav\tes\tuna prueba de luz\nb.wav\t-\t\n")
    environment = dict(os.environ, JARVIS_HOME=service.home, LC_ALL="C.UTF-8")
    done = subprocess.run(
        [JARVIS, "eval", "--speech", "--json", folder], env=environment, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["languages"]["es"]["wer"]["value"] == 0.25, report
    assert report["languages"]["all"]["languages_right"] == 1, report
    assert report["silent"] == 1 and report["silent_heard"] == 0, report


if __name__ == "__main__":
    with Service([SPEECH]) as running:
        STATUS = run_cases(running)
    sys.exit(STATUS)
