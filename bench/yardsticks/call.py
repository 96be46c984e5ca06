"""What people use: one signed call with a session of requests and hmac.

python call.py BASE APP_KEY APP_SECRET TOKEN CIPHER PATH BODY CALLS prints the median time of a call in microseconds.
"""
import hashlib
import hmac
import sys
import time

import requests

base, app_key, app_secret, token, cipher, path, body, calls = sys.argv[1:]
session = requests.Session()


def sign(parameters):
    """HMAC-SHA256 over secret, path, the parameters in the order of their names, body, secret."""
    ordered = "".join(name + parameters[name] for name in sorted(parameters))
    text = app_secret + path + ordered + body + app_secret
    return hmac.new(app_secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def call():
    parameters = {
        "app_key": app_key,
        "page_size": "20",
        "shop_cipher": cipher,
        "timestamp": str(int(time.time())),
    }
    headers = {"content-type": "application/json", "x-tts-access-token": token}
    query = {**parameters, "sign": sign(parameters)}
    answer = session.post(base + path, params=query, data=body.encode(), headers=headers, timeout=10).json()
    if answer["code"] != 0:
        raise RuntimeError(f"code {answer['code']}")


for _ in range(500):
    call()
times = []
for _ in range(int(calls)):
    began = time.perf_counter_ns()
    call()
    times.append((time.perf_counter_ns() - began) / 1000)
times.sort()
print(times[(len(times) + 1) // 2 - 1])
