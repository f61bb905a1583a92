"""Summarises a text in a few sentences with the AI node.

nanogrid upload examples/summarizer
nanogrid run summarizer '{"text": "A long story …"}'   # and "sentences": 5, if three are too few
"""

import os

import requests  # every Python image of NanoGrid has it

MODEL = "llama3:8b"
CONNECT_S, ANSWER_S = 10, 240  # an 8B model on a CPU is slow, and the function's timeout is 300 s


def handler(event, context):
    text = event["text"].strip()
    if not text:
        raise ValueError("text: there is nothing to summarise")
    prompt = f"Summarise the following text in at most {int(event.get('sentences', 3))} sentences:\n\n{text}"
    return {"summary": generate(prompt), "model": MODEL, "characters": len(text)}


def generate(prompt):
    """Ask the AI node. Its failures become the job's error."""
    question = {"model": MODEL, "prompt": prompt, "stream": False}
    try:
        answer = requests.post(
            f"{os.environ['AI_ENDPOINT']}/api/generate", json=question, timeout=(CONNECT_S, ANSWER_S)
        )
    except requests.ConnectionError as error:
        raise RuntimeError("there is no AI node: set AI_ENDPOINT where the executors run") from error
    except requests.Timeout as error:
        raise RuntimeError(f"the AI node did not answer within {ANSWER_S} s") from error
    if not answer.ok:
        raise RuntimeError(f"the AI node answered {answer.status_code}: {reason(answer)}")
    return answer.json()["response"].strip()


def reason(answer):
    try:
        return answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
