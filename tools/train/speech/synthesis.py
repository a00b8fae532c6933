"""synthesis.py: speech by espeak-ng, with the times of its words and phonemes; rooms by sox; noises.

espeak-ng is called as a library (libespeak-ng1), because its events say where each word and each phoneme begins: that is
what lets the training show the model where to look, instead of letting it find out.

Voices are an accent and a variant, as in "en-us+m3". The variants of HELD_OUT are heard only in the evaluation.
"""

import ctypes
import ctypes.util
import pathlib
import subprocess

import numpy as np

RATE = 16000
ACCENTS = {"en": ["en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd",
                  "en-us-nyc"],
           "es": ["es", "es-419"]}
HELD_OUT = ["m7", "f5", "Michael", "linda", "Alex", "pablo", "john", "aunty", "croak"]
TRAINED = ["", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4", "Alicia", "Andrea", "Andy", "Annie",
           "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Mike", "Mr serious",
           "Nguyen", "RicishayMax", "RicishayMax2", "Storm", "adam", "anika", "announcer", "antonio", "belinda",
           "benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "grandma", "grandpa", "gustave", "iven",
           "iven2", "iven3", "iven4", "klatt", "klatt2", "klatt3", "marcelo", "max", "michel", "miguel", "norbert",
           "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3", "travis",
           "victor", "zac"]

_SYNCHRONOUS, _PHONEME_EVENTS, _IPA, _NO_EXIT = 2, 1, 2, 0x8000
_UTF8 = 1
_WORD, _PHONEME, _END_OF_LIST = 1, 7, 0
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", _Id)]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """One synthesiser; the library allows one in a process."""

    def __init__(self):
        self._library = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 500, None, _PHONEME_EVENTS | _IPA | _NO_EXIT)
        if self._rate <= 0:
            raise SystemExit("espeak-ng could not be started: install libespeak-ng1 and espeak-ng-data")
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)
        self._voice = None

    def _receive(self, samples, count, events):
        if count > 0 and samples:
            self._audio.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for i in range(10000):
            event = events[i]
            if event.type == _END_OF_LIST:
                break
            if event.type == _WORD:
                self._words.append((event.text_position - 1, event.sample))
            elif event.type == _PHONEME:
                self._phonemes.append((event.id.string.decode("utf-8", "ignore"), event.sample))
        return 0

    def speak(self, text, voice, speed, pitch, spread=50):
        """(samples float32 at RATE, [(word, begin, end)], [(phoneme, begin, end)]), times in seconds.

        speed: words a minute; pitch and spread: 0 to 100, as espeak-ng's options -p and -P.
        """
        if voice != self._voice:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ValueError(f"espeak-ng has no voice {voice}")
            self._voice = voice
        for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_RANGE, spread)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._audio, self._words, self._phonemes = [], [], []
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        audio = np.concatenate(self._audio).astype(np.float32) / 32768
        phonemes = _spans(self._phonemes, len(audio), self._rate)
        speech_end = max((end for name, _, end in phonemes if name), default=len(audio) / self._rate)
        return resample(audio, self._rate, RATE), self._word_spans(text, speech_end), phonemes

    def _word_spans(self, text, speech_end):
        """Words with begin and end. Where espeak-ng joins two words ("of the"), their span is shared by letters."""
        begins, position = {}, 0
        for index, word in enumerate(text.split()):
            for at, sample in self._words:
                if position <= at < position + len(word) and index not in begins:
                    begins[index] = sample / self._rate
            position += len(word) + 1
        words, spans = text.split(), []
        known = sorted(begins) or [0]
        begins.setdefault(known[0], 0.0)
        begins[0] = begins.get(0, 0.0)
        known = sorted(begins)
        for here, following in zip(known, known[1:] + [len(words)]):
            begin = begins[here]
            end = begins[following] if following < len(words) else max(speech_end, begin + 0.05)
            letters = sum(len(w) for w in words[here:following])
            for word in words[here:following]:
                length = (end - begins[here]) * len(word) / letters
                spans.append((word, begin, begin + length))
                begin += length
        return spans


def _spans(events, total, rate):
    """[(name, begin, end)] in seconds from [(name, sample)]; stress marks are dropped, a pause has an empty name."""
    spans = []
    for (name, begin), end in zip(events, [sample for _, sample in events[1:]] + [total]):
        name = name.strip("ˈˌ_: ‿")
        if end > begin:
            spans.append((name, begin / rate, end / rate))
    return spans


def resample(audio, source, target):
    """The signal at another rate, by its spectrum; padded so that no end leaks into the other."""
    length = -(-(len(audio) + 256) // 441) * 441 * 2
    spectrum = np.fft.rfft(audio, length)
    out_length = length * target // source
    out = np.fft.irfft(spectrum[:out_length // 2 + 1], out_length) * (out_length / length)
    return out[:int(len(audio) * target / source)].astype(np.float32)


def rooms(folder):
    """[impulse response] of a few dozen rooms: what sox's reverb makes of a click. Kept in FOLDER/rooms.npz."""
    path = pathlib.Path(folder) / "rooms.npz"
    if not path.exists():
        click = np.zeros(RATE // 2, np.float32)
        click[0] = 0.5
        made = {}
        for reverberance in (10, 25, 40, 55):
            for scale in (5, 20, 40, 70, 100):
                for damping in (20, 80):
                    made[f"{reverberance}-{scale}-{damping}"] = _reverb(click, reverberance, damping, scale)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"rooms.{np.random.randint(1 << 30)}.npz")
        np.savez(temporary, **made)
        temporary.replace(path)
    with np.load(path) as kept:
        return [kept[name] for name in sorted(kept.files)]


def _reverb(audio, reverberance, damping, scale):
    raw = ["-t", "f32", "-r", str(RATE), "-c", "1", "-"]
    made = subprocess.run(["sox", "-R", *raw, *raw, "reverb", str(reverberance), str(damping), str(scale), "100", "0", "-6"],
                          input=audio.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    response = np.frombuffer(made, np.float32) * 2
    return (response / max(1e-6, np.abs(response).max())).astype(np.float32)


def in_room(audio, response):
    """The signal as heard in a room, with the loudness and the beginning that it had."""
    length = 1 << int(np.ceil(np.log2(len(audio) + len(response))))
    wet = np.fft.irfft(np.fft.rfft(audio, length) * np.fft.rfft(response, length), length)
    wet = wet[:len(audio)]
    power = np.sqrt((wet ** 2).mean() + 1e-12)
    return (wet * (np.sqrt((audio ** 2).mean()) / power)).astype(np.float32)


def noise(rng, samples):
    """A noise without speech, RMS 1: hiss, rumble, hum, wind, clicks, a tune, or several at once. rng: numpy's."""
    kinds = rng.choice(6, size=1 if rng.random() < 0.7 else 2, replace=False)
    total = sum(_noise(rng, samples, kind) for kind in kinds)
    return (total / np.sqrt((total ** 2).mean() + 1e-12)).astype(np.float32)


def _noise(rng, samples, kind):
    time = np.arange(samples) / RATE
    if kind in (0, 1, 2):  # a spectrum that falls by some power of the frequency: white, pink, brown and between
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        spectrum *= (np.arange(len(spectrum)) + 20.0) ** -rng.uniform(0, 1.2)
        made = np.fft.irfft(spectrum, samples)
        if kind == 2:  # wind and engines: louder and softer
            made *= 1 + rng.uniform(0.3, 0.95) * np.sin(2 * np.pi * rng.uniform(0.1, 4) * time + rng.uniform(0, 6))
    elif kind == 3:  # hum and its harmonics
        base = rng.uniform(45, 400)
        made = sum(rng.random() / k * np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6)) for k in range(1, 12))
    elif kind == 4:  # clicks, knocks, typing
        made = np.zeros(samples)
        ring = np.exp(-np.arange(1600) / rng.uniform(10, 300)) * np.sin(np.arange(1600) * rng.uniform(0.05, 2))
        for at in rng.integers(0, max(1, samples - 1600), max(1, int(samples / RATE * rng.uniform(0.5, 8)))):
            made[at:at + 1600] += ring[:len(made) - at] * rng.random()
    else:  # notes
        made, at = np.zeros(samples), 0
        while at < samples:
            length = int(RATE * rng.uniform(0.1, 1.0))
            pitch, part = 110 * 2 ** (rng.integers(0, 40) / 12), time[:min(length, samples - at)]
            glide = rng.uniform(-200, 200) if rng.random() < 0.3 else 0
            made[at:at + length] = np.sin(2 * np.pi * (pitch * part + glide * part ** 2)) * np.exp(-part * rng.uniform(0, 6))
            at += length
    return made / np.sqrt((made ** 2).mean() + 1e-12)
