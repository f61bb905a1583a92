"""Loads credentials for Google Cloud Storage: from a file, a secret in AWS, or the machine itself."""

import json
import os
from typing import Any

import google.auth
from botocore.exceptions import ClientError, NoCredentialsError
from google.auth import aws as workload_identity
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import service_account

from nanogrid.aws import client, code_of, translated
from nanogrid.errors import UnavailableError

SECRET = "nanogrid/gcp-credentials"  # noqa: S105 - its name

_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]  # objects, not who may see them
_READ_S = 10.0


def load_credentials() -> Credentials:
    """Load the credentials for Google Cloud Storage. Blocks. UnavailableError names the missing part.

    In this order: anonymous ones, where STORAGE_EMULATOR_HOST names a stand-in, as Google's own client has it. The file
    that GOOGLE_APPLICATION_CREDENTIALS names. Where AWS is configured, the secret, held in memory and nowhere else.
    those that Google's client finds on the machine.
    """
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return AnonymousCredentials()
    if not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") and (secret := _secret()):
        return _from_secret(secret)
    try:
        credentials, _ = google.auth.default(scopes=_SCOPES)
    except (GoogleAuthError, ValueError, OSError) as error:
        raise UnavailableError(
            "no credentials for Google Cloud Storage: name a file in GOOGLE_APPLICATION_CREDENTIALS that is there, or "
            f"put a service account's key into the secret {SECRET}"
        ) from error
    return credentials


def _secret() -> str | None:
    """Return the secret's text, or None where AWS is not configured, or has no such secret."""
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        return None
    with translated(f"the secret {SECRET}"):
        try:
            answer = client("secretsmanager", connections=1, read_s=_READ_S).get_secret_value(SecretId=SECRET)
        except NoCredentialsError:
            return None  # a region alone, as on many a laptop
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return None
    return str(answer.get("SecretString") or answer["SecretBinary"].decode(errors="replace"))


def _from_secret(text: str) -> Credentials:
    makers: dict[str, Any] = {
        "service_account": service_account.Credentials.from_service_account_info,
        "external_account": workload_identity.Credentials.from_info,  # the machine's AWS role, known to Google: no key
    }
    try:
        told = json.loads(text)
        credentials: Credentials = makers[told["type"]](told, scopes=_SCOPES)
    except (ValueError, KeyError, TypeError, GoogleAuthError):
        raise UnavailableError(
            f"the secret {SECRET} is neither a service account's key nor an AWS workload identity: put the JSON file "
            "in, as Google made it"
        ) from None  # the cause may quote the secret
    return credentials
