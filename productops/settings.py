"""All settings, from the environment. `.env.example` lists what can be set."""

import os
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from productops.lib import env

# Before anything brings numpy: its matrices are small here, and a fork while its threads end can stand still for ever.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

DEBUG = env.flag("DEBUG")
DATA_DIR = Path(env.text("DATA_DIR", str(ROOT / ".data")))

# One address decides hosts, cookies and links.
BASE_URL = env.text("BASE_URL", "http://127.0.0.1:8000").rstrip("/")
_base = urlsplit(BASE_URL)
if _base.scheme not in {"http", "https"} or not _base.hostname:
    raise ImproperlyConfigured("BASE_URL must look like https://hub.example.com.")
IS_HTTPS = _base.scheme == "https"
IS_LOOPBACK = _base.hostname in {"127.0.0.1", "localhost", "::1"}

SECRET_KEY = env.text("SECRET_KEY")
if not DEBUG and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY must have at least 32 characters.")
# Whoever opens the first-run page of a hub that is not on loopback must know this word.
SETUP_TOKEN = env.text("SETUP_TOKEN", "")

ALLOWED_HOSTS = [_base.hostname, *([] if not IS_LOOPBACK else ["127.0.0.1", "localhost", "[::1]"])]
CSRF_TRUSTED_ORIGINS = [BASE_URL]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "django_htmx",
    "productops",
    "accounts",
    "activity",
    "notices",
    "releases",
    "metrics",
    "feedback",
    "incidents",
]

MIDDLEWARE = [
    "productops.lib.headers.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "accounts.middleware.Language",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SessionAge",
    "accounts.middleware.Preferences",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "productops.urls"
WSGI_APPLICATION = None
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "productops.context.shell",
            ],
            "builtins": ["productops.templatetags.ui"],
        },
    }
]

DATABASES = {
    "default": {
        **env.database(env.text("DATABASE_URL")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"NAME": os.environ.get("TEST_DATABASE_NAME") or None},
    }
}
# A streaming replica that charts and rollups are read from while it is at most so many seconds behind.
if replica_url := env.text("DATABASE_REPLICA_URL", ""):
    DATABASES["replica"] = {
        **env.database(replica_url, 2, "-c default_transaction_read_only=on -c statement_timeout=15s"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "TEST": {"MIRROR": "default"},
    }
REPLICA_MOST_BEHIND = env.number("REPLICA_MOST_BEHIND", 30)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# What the door may keep on this machine's disk, in DATA_DIR/spool, while PostgreSQL is away.
SPOOL_BYTES = env.number("SPOOL_MB", 512) * 1_048_576

# Redis holds doorbells, counters and cache only: losing all of it loses nothing.
REDIS_URL = env.text("REDIS_URL", "")
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
    SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    CELERY_BROKER_URL = REDIS_URL
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
    CELERY_VISIBILITY_TIMEOUT = 300
else:
    _broker = DATA_DIR / "broker"
    for _folder in ("queue", "processed", "control"):
        (_broker / _folder).mkdir(parents=True, exist_ok=True)
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    SESSION_ENGINE = "django.contrib.sessions.backends.db"
    CELERY_BROKER_URL = "filesystem://"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker / "queue"),
        "data_folder_out": str(_broker / "queue"),
        "processed_folder": str(_broker / "processed"),
        "control_folder": str(_broker / "control"),
    }

CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 2,
    "interval_start": 0.05,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_MAX_TASKS_PER_CHILD = 2000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {f"metrics.tasks.{name}": {"queue": "ingest"} for name in ("drain", "sweep")}
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Messages expire before the next ones pile up behind a worker that was away.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep": {"task": "metrics.tasks.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "guard": {"task": "metrics.tasks.guard", "schedule": 15.0, "options": {"expires": 15}},
    "detect": {"task": "metrics.tasks.detect", "schedule": 10.0, "options": {"expires": 10}},
    "attend": {"task": "incidents.tasks.attend", "schedule": 10.0, "options": {"expires": 10}},
    "adopt": {"task": "feedback.tasks.adopt", "schedule": 15.0, "options": {"expires": 15}},
    "weigh": {"task": "incidents.tasks.weigh", "schedule": 60.0, "options": {"expires": 60}},
    "complaints": {"task": "incidents.tasks.complaints", "schedule": 60.0, "options": {"expires": 60}},
    "notify": {"task": "incidents.tasks.notify", "schedule": 3.0, "options": {"expires": 3}},
    "compare": {"task": "incidents.tasks.compare", "schedule": 10.0, "options": {"expires": 10}},
    "forget": {"task": "incidents.tasks.forget", "schedule": 21_600.0, "options": {"expires": 3600}},
    "remind": {"task": "incidents.tasks.remind", "schedule": 3600.0, "options": {"expires": 3600}},
    "timers": {"task": "incidents.tasks.timers", "schedule": 20.0, "options": {"expires": 20}},
    "deliver": {"task": "incidents.tasks.deliver", "schedule": 5.0, "options": {"expires": 5}},
    "bundle": {"task": "incidents.tasks.bundle", "schedule": 300.0, "options": {"expires": 300}},
    "verify": {"task": "incidents.tasks.verify", "schedule": 60.0, "options": {"expires": 60}},
    "refusals": {"task": "metrics.tasks.refusals", "schedule": 60.0, "options": {"expires": 60}},
    "understand": {"task": "metrics.tasks.understand", "schedule": 300.0, "options": {"expires": 300}},
    "touched": {"task": "feedback.tasks.touched", "schedule": 600.0, "options": {"expires": 600}},
    "fallen": {"task": "feedback.tasks.fallen", "schedule": 21_600.0, "options": {"expires": 3600}},
    "tidy": {"task": "metrics.tasks.tidy", "schedule": 600.0, "options": {"expires": 600}},
}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    }
]
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "accounts.adapter.Adapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_RATE_LIMITS = {"login_failed": "30/5m/ip,10/5m/key", "login": "60/m/ip", "reset_password": "20/m/ip,5/m/key"}

SESSION_COOKIE_NAME = "__Host-sid" if IS_HTTPS else "sid"
CSRF_COOKIE_NAME = "__Host-csrf" if IS_HTTPS else "csrf"
LANGUAGE_COOKIE_NAME = "lang"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 86_400
SESSION_IDLE = timedelta(hours=12)
SECURE_SSL_REDIRECT = IS_HTTPS and not env.flag("TRUST_PROXY")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("TRUST_PROXY") else None
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SECURE_HSTS_PRELOAD = env.flag("HSTS_PRELOAD")
SILENCED_SYSTEM_CHECKS = [
    "security.W021",  # preload is the operator's word to give (HSTS_PRELOAD)
    "security.W002",  # X-Frame-Options is set by productops.lib.headers
    *(["security.W008"] if env.flag("TRUST_PROXY") else []),  # the proxy redirects
]
# Health probes speak http to the process itself.
SECURE_REDIRECT_EXEMPT = [r"^(live|ready)$"]
SECURE_REFERRER_POLICY = "same-origin"
TRUSTED_PROXY_COUNT = env.number("TRUSTED_PROXY_COUNT", 1 if env.flag("TRUST_PROXY") else 0)
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
CSRF_FAILURE_VIEW = "productops.errors.forbidden"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("es", _("Spanish")), ("pt-br", _("Portuguese (Brazil)"))]
LOCALE_PATHS = [ROOT / "locale"]
USE_I18N = True
FORMAT_MODULE_PATH = ["productops.formats"]
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = Path(os.environ.get("STATIC_ROOT") or ROOT / "build" / "static")
STATICFILES_DIRS = [ROOT / "productops" / "static"]
_is_collected = (STATIC_ROOT / "staticfiles.json").exists()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if _is_collected
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
if not _is_collected:
    # Before collectstatic, files come from where they lie; their folder is not missed.
    warnings.filterwarnings("ignore", "No directory at", UserWarning)
WHITENOISE_USE_FINDERS = not _is_collected
WHITENOISE_ALLOW_ALL_ORIGINS = False

EMAIL_BACKEND = env.text(
    "EMAIL_BACKEND",
    "django.core.mail.backends.smtp.EmailBackend"
    if os.environ.get("EMAIL_HOST")
    else "django.core.mail.backends.console.EmailBackend",
)
HAS_MAIL = not EMAIL_BACKEND.endswith("console.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.number("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS")
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"Productops <hub@{_base.hostname}>")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api_auth.BearerToken"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api_auth.Allowed"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["productops.lib.api.CleanJSON"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "productops.lib.api.Pages",
    "EXCEPTION_HANDLER": "productops.lib.api.problem",
    "UNAUTHENTICATED_USER": None,
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Productops API",
    "DESCRIPTION": "Release × customer × complaint × usage signal × incident.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "SeverityOrAutoEnum": "incidents.api.SEVERITY_OR_AUTO",
        "TimerStateEnum": "incidents.api.TIMER_STATES",
        "ActionStateEnum": "incidents.models.review.ActionState",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "productops.api.add_events_door",
        "productops.api.say_pages_and_problems",
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"secrets": {"()": "productops.lib.logs.MaskSecrets"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["secrets"], "formatter": "line"}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django.server": {"level": "WARNING"}, "django.request": {"level": "ERROR"}},
}
