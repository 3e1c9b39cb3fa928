"""wait.py idle|poll SMTP_PORT IMAP_PORT ROUNDS: what a script does that sends a mail and waits for it. Prints, for each mail,
the seconds between the server's 250 and the moment that its subject was seen in the mailbox."""

import imaplib
import smtplib
import sys
import time
import uuid

way, smtp_port, imap_port, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
address = "alice@example.test"


def is_there(box, code):
    box.noop()
    _, found = box.search(None, "SUBJECT", code)
    return bool(found[0])


def idle(box, code):
    while True:
        tag = box._new_tag()
        box.send(tag + b" IDLE\r\n")
        box.readline()
        # Until something is announced.
        while b"EXISTS" not in box.readline():
            pass
        box.send(b"DONE\r\n")
        while not box.readline().startswith(tag):
            pass
        if is_there(box, code):
            return


def poll(box, code):
    while not is_there(box, code):
        time.sleep(1)


box = imaplib.IMAP4("127.0.0.1", imap_port)
box.login(address, "alice-secret")
box.select("INBOX")
for _ in range(rounds):
    code = str(uuid.uuid4())
    with smtplib.SMTP("127.0.0.1", smtp_port) as server:
        server.ehlo("bench.example.test")
        server.mail("probe@example.test")
        server.rcpt(address)
        server.data(f"From: probe@example.test\r\nTo: {address}\r\nSubject: check ({code})\r\n\r\ncheck\r\n")
        taken = time.monotonic()
    (idle if way == "idle" else poll)(box, code)
    print(time.monotonic() - taken, flush=True)
    box.store("1:*", "+FLAGS", "\\Deleted")
    box.expunge()
box.logout()
