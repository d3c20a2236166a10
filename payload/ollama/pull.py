"""Pull a model through Ollama's API and say how far it is: `python3 pull.py URL MODEL [insecure]`.

Runs on the host with its own Python. The API answers 200 as soon as the first line of its stream is out, so only a
last line that says success is success. What has arrived is kept, so another try goes on where this one ended.
"""

import json
import sys
import time
import urllib.request

TRIES = 3


def attempt(url: str, body: bytes) -> str:
    """Pull once, printing progress; the reason why it failed, or an empty string."""
    shown = 0.0
    status = "no answer"
    request = urllib.request.Request(f"{url}/api/pull", body, {"Content-Type": "application/json"})
    try:
        # A loopback or private address: a proxy for the internet is not on the way.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600) as answer:
            for line in answer:
                news = json.loads(line)
                if "error" in news:
                    return str(news["error"])
                status = news.get("status", "")
                total, done = news.get("total", 0), news.get("completed", 0)
                if time.monotonic() - shown >= 1:
                    shown = time.monotonic()
                    share = f", {done / total:.0%} of {total / 1e9:.2f} GB" if total else ""
                    print(f"{status}{share}", flush=True)
    except (OSError, ValueError) as error:
        return str(error)
    return "" if status == "success" else f"it ended with {status!r}"


def main() -> int:
    url, model, *rest = sys.argv[1:]
    body = json.dumps({"model": model, "insecure": "insecure" in rest, "stream": True}).encode()
    problem = ""
    for number in range(1, TRIES + 1):
        problem = attempt(url, body)
        if not problem:
            print(f"{model} is complete")
            return 0
        print(f"pulling {model} failed ({number} of {TRIES}): {problem}", flush=True)
        time.sleep(3)
    return 1


if __name__ == "__main__":
    sys.exit(main())
