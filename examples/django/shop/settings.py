"""A service app's settings, as few as an admin needs.

Everything that differs from place to place comes from the environment. The
app needs Postgres, and knows neither Redis nor Salesforce.
"""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEBUG", "yes") == "yes"
# Good enough for a machine of one's own; set another one anywhere else.
SECRET_KEY = os.environ.get("SECRET_KEY", "a key for trying it out" if DEBUG else "")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")


def database(url):
    """Django's form of a DATABASE_URL, the address that usage-sync has too."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": dict(parse_qsl(parts.query)),
        # The app's tests get their database from one that has the schema
        # usage_sync already: README.md, "Your own tests".
        "TEST": {"TEMPLATE": os.environ.get("TEST_TEMPLATE")},
    }


DATABASES = {"default": database(os.environ["DATABASE_URL"])}

# Contracts are read live through usage-sync's gateway. Without an address the
# pages say that the contract is not available; everything else works.
USAGE_SYNC_GATEWAY_URL = os.environ.get("USAGE_SYNC_GATEWAY_URL", "")
USAGE_SYNC_GATEWAY_TOKEN = os.environ.get("USAGE_SYNC_GATEWAY_TOKEN", "")
# Such as https://acme.lightning.force.com: makes links of Salesforce's ids.
SALESFORCE_URL = os.environ.get("SALESFORCE_URL", "")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "ads",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "shop.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
