#!/usr/bin/env python3
"""Devices that this machine has, has not, or has elsewhere: mocks, two Vulkan devices on the processor (lavapipe), and two
hosts that are ggml-rpc-server processes on loopback. The last two are skipped where tools/peer finds nothing.

usage: devices_test.py JARVIS [CASE...]
"""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import time

from cli_support import DEADLINE_S, case, run_cases

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "peer")
TINY = os.environ["JARVIS_TINY_MODELS"]


def peer_environment():
    """The environment in which Jarvis finds the peer's back ends; None where there are none."""
    done = subprocess.run([PEER, "--devices"], capture_output=True, text=True, check=False)
    return dict(line.split("=", 1) for line in done.stdout.splitlines()) if done.returncode == 0 else None


def configure(home, **config):
    os.makedirs(os.path.join(home.home, "config"), exist_ok=True)
    with open(os.path.join(home.home, "config/jarvis.json"), "w", encoding="utf-8") as file:
        json.dump({"server.listen": "", "worker.threads": 1, **config}, file)


def chat_model(**more):
    return {"name": "tiny", "path": os.path.join(TINY, "tiny-chat.gguf"), "role": "chat", "context_length": 256, **more}


def devices(home, **env):
    return home.run("devices", "--json", code=0, **env).json()


def say(home, patience=1):
    """The answer to one short chat with the model."""
    body = {"model": "tiny", "max_tokens": 8, "temperature": 0, "messages": [{"role": "user", "content": "hola"}]}
    connection = http.client.HTTPConnection("jarvis", timeout=DEADLINE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(DEADLINE_S * patience)
    connection.sock.connect(home.socket)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


# ------------------------------------------------------------------ mocks


@case
def mock_devices_stand_in_place_of_real_ones(home):
    configure(home)
    wanted = "gpu0:16384MiB,gpu1:8192MiB"
    found = devices(home, JARVIS_DEVICES=wanted)
    assert found["mocked"] and [d["name"] for d in found["data"]] == ["gpu0", "gpu1"], found
    assert [d["total_bytes"] >> 20 for d in found["data"]] == [16384, 8192], found
    catalogue = home.run("pull", "--recommend", "--json", code=0).json()
    assert catalogue["machine"]["gpu_bytes"] == 16384 << 20, catalogue["machine"]
    assert "mock" in home.run("devices", code=0).out


@case
def a_list_that_is_none_is_refused(home):
    configure(home, devices="gpu0:lots")
    done = home.run("devices", code=4)
    assert "gpu0:lots" in done.err, done


@case
def the_processor_is_a_device(home):
    configure(home)
    found = devices(home)
    assert not found["mocked"], found
    assert any(d["kind"] == "cpu" and d["total_bytes"] > 0 for d in found["data"]), found


@case
def a_device_that_is_not_there_is_named(home):
    configure(home, models=[chat_model(devices="Vulkan7")])
    devices(home)
    answer = say(home)
    assert answer["error"]["code"] == "config_invalid" and "Vulkan7" in answer["error"]["message"], answer


# ------------------------------------------------------------------ two Vulkan devices


@case
def a_model_is_split_over_two_vulkan_devices(home):
    env = peer_environment()
    if not env or not env["VK_DRIVER_FILES"]:
        return "no lavapipe; tools/sysroot peer fetches it"
    env["GGML_VK_VISIBLE_DEVICES"] = "0,0"
    configure(home, models=[chat_model(devices="Vulkan0:1,Vulkan1:1", gpu_layers=99)])
    found = devices(home, **env)
    names = [d["name"] for d in found["data"] if d["backend"] == "Vulkan"]
    if len(names) < 2:
        return f"ggml finds {names}"
    answer = say(home, patience=4)  # lavapipe compiles each shader when it is first used
    assert "choices" in answer and answer["choices"][0]["message"]["content"], answer
    return None


# ------------------------------------------------------------------ two hosts


class Host:
    """A ggml-rpc-server on loopback."""

    def __init__(self, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"
        self.process = None
        home.closing.callback(self.stop)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [PEER, "ggml-rpc-server", "-H", "127.0.0.1", "-p", str(self.port), "-t", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None and time.monotonic() < until, "ggml-rpc-server did not start"
                select.select([], [], [], 0.05)  # a port cannot be waited for: looks again soon

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@case
def a_model_is_split_over_two_hosts_and_survives_the_loss_of_one(home):
    env = peer_environment()
    if not env or subprocess.run([PEER, "--path", "ggml-rpc-server"], capture_output=True, check=False).returncode != 0:
        return "no ggml-rpc-server; tools/sysroot peer fetches it"
    env.pop("VK_DRIVER_FILES")
    env["GGML_VK_VISIBLE_DEVICES"] = ""
    hosts = [Host(home), Host(home)]
    configure(home, **{"worker.rpc_hosts": ",".join(host.name for host in hosts)})
    found = devices(home, **env)
    remote = [d["name"] for d in found["data"] if d["backend"] == "RPC"]
    assert len(remote) == 2, found
    home.run("stop")
    configure(
        home,
        **{
            "worker.rpc_hosts": ",".join(host.name for host in hosts),
            "models": [chat_model(devices=",".join(f"{name}:1" for name in remote), gpu_layers=99)],
        },
    )
    devices(home, **env)
    first = say(home)
    assert "choices" in first and first["choices"][0]["message"]["content"], first
    hosts[1].stop()
    lost = say(home)
    assert lost["error"]["category"] == "TRANSIENT", lost
    hosts[1].start()
    again = say(home)
    if "error" in again:  # the circuit may be open for a moment: an error that says so
        assert again["error"]["category"] == "TRANSIENT", again
    else:
        assert again["choices"][0]["message"]["content"] == first["choices"][0]["message"]["content"], (first, again)
    return None


if __name__ == "__main__":
    run_cases()
