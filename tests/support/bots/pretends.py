"""A bot that tells ``discordha run`` what its arguments say, and does nothing else; starts in 0.1 s.

``ready`` becomes ready; ``dies=N`` ends with a status then; ``refuses`` has a wrong configuration; ``id=X``
and ``alone`` say so; ``lease=N`` and ``etcd=HOST:PORT`` tell of a session, with ``lease=real`` of one that
etcd knows, and of the next one at SIGUSR2; ``hangs`` shows signs of life once and then no more; ``stubborn``
ignores SIGTERM, ``lingers=SECONDS`` takes its time; ``orphans`` leaves processes behind; ``version=FILE``
takes more arguments from a file.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import discordha
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.supervisor import link

assert "DISCORDHA_SUPERVISOR" not in os.environ, discordha
given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
if "version" in given:
    given.update(line.partition("=")[::2] for line in Path(given["version"]).read_text().split())
over = threading.Event()


def say(*words):
    """One write a line: several processes share the file, and signal handlers interrupt."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


signal.signal(signal.SIGTERM, (lambda *_: None) if "stubborn" in given else (lambda *_: over.set()))
signal.signal(signal.SIGUSR1, lambda *_: say("USR1 in", os.environ["DISCORDHA_REPLICA_ID"]))
say("settings", os.environ.get("DISCORDHA_HTTP_ADDRESS"), "NOTIFY_SOCKET" in os.environ)


class Session:
    overdue = 0.0

    def add_listener(self, on_begin, on_lost):
        self.on_begin = on_begin
        self.begin()

    def begin(self):
        class Grant:
            lease_id = granted() if given["lease"] == "real" else int(given["lease"])

        self.on_begin(Grant)
        say("granted", Grant.lease_id, "to", os.getpid())


def granted():
    connection = http.client.HTTPConnection(given["etcd"], timeout=20)
    connection.request("POST", "/v3/lease/grant", json.dumps({"TTL": 600}))
    found = int(json.loads(connection.getresponse().read())["ID"])
    connection.close()
    return found


session = Session()


parent = link.current()
name = given.get("id") or os.environ["DISCORDHA_REPLICA_ID"]
parent.hello(name, ha="alone" not in given, drain_timeout=float(given.get("drain", "1")))
if "lease" in given:
    signal.signal(signal.SIGUSR2, lambda *_: session.begin())
    parent.watch_session(session, StoreSettings((given["etcd"],)))
if "ready" in given:
    parent.state(name, "ready")
if "orphans" in given:
    child = "import subprocess, sys; subprocess.Popen(['true']); sys.stdout.flush()"
    subprocess.run([sys.executable, "-c", child], check=True)
    subprocess.Popen(["sleep", "1000"])
if "refuses" in given:
    parent.refused("the token is wrong")
    sys.exit(1)
if "dies" in given:
    sys.exit(int(given["dies"]))
if "hangs" in given:
    over.wait(1.5)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    import ctypes

    ctypes.PyDLL(None).sleep(1000)  # with the interpreter's lock held
while not over.wait(0.1):
    pass
threading.Event().wait(float(given.get("lingers", "0")))
