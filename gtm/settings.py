"""All settings in one file; every variable is read through a typed reader of ``gtm.env``."""

from pathlib import Path

import structlog
from csp.constants import NONCE, NONE, SELF

from gtm import env
from gtm.shared.logs import without_keys

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR") or BASE_DIR / ".data").expanduser().resolve()

# --- where it runs -----------------------------------------------------------------------------
DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.secret_key(DATA_DIR)
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")
PORT = env.number("PORT", 8000)
BASE_URL = env.text("BASE_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
ALLOWED_HOSTS = [*env.names("ALLOWED_HOSTS"), "localhost", "127.0.0.1", "[::1]"]  # probes ask from the machine itself
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", BASE_URL)
TRUSTED_PROXY = env.flag("TRUSTED_PROXY", default=False)
HTTPS = BASE_URL.startswith("https://")
LOOPBACK = env.is_loopback(BASE_URL)
DEMO = env.flag("DEMO", default=True)

ROOT_URLCONF = "gtm.urls"
WSGI_APPLICATION = "gtm.wsgi.application"
FORM_RENDERER = "gtm.shared.renderers.TandemFormRenderer"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces; the site is ours, not its own
    "unfold.contrib.filters",
    "gtm.shared.admin_config.TandemAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "django_htmx",
    "template_partials",
    "heroicons",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django_structlog",
    "gtm.shared",
    "billing",
    "crm",
    "signals",
    "gtm.apps.GtmConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "gtm.shared.languages.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "gtm.shared.context.ContextMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "gtm.shared.second_step.SecondStepMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "gtm.shared.context.template_context",
            ],
            "builtins": ["gtm.shared.templatetags.tandem", "django.templatetags.i18n"],
        },
    }
]

# --- database, broker, cache -------------------------------------------------------------------
# Without DATABASE_URL / REDIS_URL the embedded servers are used; manage.py starts them and sets both.
DATABASE_URL = env.text("DATABASE_URL") or "postgresql://postgres@/tandem?host=/nonexistent"
DATABASES = {"default": env.database(DATABASE_URL) | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}}
REDIS_URL = env.text("REDIS_URL") or "redis://127.0.0.1:1/0"
CACHES = {
    "default": {
        "BACKEND": "gtm.shared.cache.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "tandem",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
}

# --- queue -------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_timeout": 5, "socket_connect_timeout": 2}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "billing.tasks.render_missing_documents": {"queue": "delivery"},
    "billing.tasks.*": {"queue": "billing"},
    "gtm.tasks.advance_clock": {"queue": "billing"},
    "gtm.shared.tasks.relay_facts": {"queue": "signals"},
    "gtm.shared.tasks.send_queued_mail": {"queue": "delivery"},
    "gtm.shared.tasks.deliver_webhooks": {"queue": "delivery"},
    "signals.tasks.*": {"queue": "signals"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"


def _every(seconds: int, task: str) -> dict[str, object]:
    """A periodic task. While no worker answers, runs that are long overdue are dropped instead of piling up."""
    return {"task": task, "schedule": seconds, "options": {"expires": max(10, min(2 * seconds, 6 * 3600))}}


CELERY_BEAT_SCHEDULE = {
    "beat heartbeat": _every(10, "gtm.shared.tasks.beat_heartbeat"),
    "relay facts": _every(3, "gtm.shared.tasks.relay_facts"),
    "send mail": _every(10, "gtm.shared.tasks.send_queued_mail"),
    "deliver webhooks": _every(3, "gtm.shared.tasks.deliver_webhooks"),
    "review webhooks": _every(300, "gtm.shared.tasks.review_webhooks"),
    "announce what is to come": _every(3600, "billing.tasks.announce_due"),
    "bill what is due": _every(60, "billing.tasks.bill_due"),
    "render documents": _every(60, "billing.tasks.render_missing_documents"),
    "settle attempts": _every(60, "billing.tasks.settle_attempts"),
    "run dunning": _every(60, "billing.tasks.run_dunning"),
    "process gateway events": _every(30, "billing.tasks.process_gateway_events"),
    "sweep gateway events": _every(86_400, "billing.tasks.sweep_gateway_events"),
    "sweep portal sessions": _every(86_400, "billing.tasks.sweep_portal_sessions"),
    "send refunds": _every(60, "billing.tasks.send_refunds"),
    "expire unfinished subscriptions": _every(300, "billing.tasks.expire_incomplete"),
    "tell of trials that end": _every(900, "billing.tasks.show_trial_prompts"),
    "make partitions": _every(3600, "billing.tasks.make_partitions"),
    "wake snoozed alerts": _every(60, "crm.tasks.wake_snoozed_alerts"),
    "work on bulk edits": _every(20, "crm.tasks.work_on_bulk_edits"),
    "work on imports": _every(20, "crm.tasks.work_on_imports"),
    "remind of tasks": _every(60, "crm.tasks.remind_of_tasks"),
    "prepare renewals": _every(86_400, "crm.tasks.prepare_renewals"),
    "send digests": _every(900, "crm.tasks.send_digests"),
    "write down dunning policies": _every(600, "crm.tasks.write_down_policies"),
    "work hand-overs": _every(60, "crm.tasks.work_hand_overs"),
    "review accounts": _every(86_400, "crm.tasks.review_accounts"),
    "forget policy and routing runs": _every(86_400, "crm.tasks.forget_runs"),
    "end overrides of motions": _every(300, "crm.tasks.end_overrides"),
    "run the clocks of answers": _every(60, "crm.tasks.run_answer_clocks"),
    "work off policy and routing runs": _every(15, "crm.tasks.work_off_runs"),
    "suggest consolidations": _every(86_400, "crm.tasks.suggest_consolidations"),
    "evaluate recent usage": _every(300, "signals.tasks.evaluate_recent_usage"),
    "sweep": _every(3600, "gtm.shared.tasks.sweep"),
}
OUTBOX_WIRING = "gtm.wiring.HANDLERS"

# --- sign-in -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "shared.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "name"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "gtm.shared.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "optional"  # nobody waits for a mail to buy; gtm.shared.users.is_confirmed guards the rest
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_FORMS = {"add_email": "gtm.shared.account_forms.ChangeEmailForm"}
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
ALLAUTH_TRUSTED_PROXY_COUNT = int(TRUSTED_PROXY)  # else all who come through it share one limit of sign-ins
MFA_ADAPTER = "gtm.shared.accounts.SecondStepAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = LOOPBACK  # browsers take http://localhost as secure; the library doesn't
STAFF_MFA = env.flag("STAFF_MFA", default=not (DEMO and LOOPBACK))
OIDC = env.oidc("OIDC")
OIDC_DOMAINS = [domain.lower() for domain in env.names("OIDC_DOMAINS")]
OIDC_CREATE_ROLES = env.names("OIDC_CREATE_ROLES")
if OIDC_CREATE_ROLES and not OIDC_DOMAINS:
    raise env.BadSetting("OIDC_CREATE_ROLES needs OIDC_DOMAINS: else anybody at the provider becomes a colleague.")
SOCIALACCOUNT_ADAPTER = "gtm.shared.sign_on.StaffSignOn"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form's way to another site is closed by the content security policy
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [OIDC] if OIDC else []}}

# --- safety ------------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS and TRUSTED_PROXY
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024  # 10,000 usage events
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/", "/api/v1/docs/"],
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# --- API ---------------------------------------------------------------------------------------
API_RATE = env.text("API_RATE", "6000/min")
CUSTOMER_SCOPE = "crm.queries.customers.visible_to"
BOOK_OF = "crm.queries.books.told"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "gtm.shared.api.authentication.ApiKeyAuthentication",
        "gtm.shared.api.authentication.StaffSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["gtm.shared.api.permissions.HasScope"],
    "DEFAULT_PAGINATION_CLASS": "gtm.shared.api.pagination.StableCursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["gtm.shared.api.throttling.KeyThrottle"],
    "DEFAULT_THROTTLE_RATES": {"key": API_RATE},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["gtm.shared.api.parsing.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "gtm.shared.api.schema.TandemSchema",
    "EXCEPTION_HANDLER": "gtm.shared.api.errors.handle",
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tandem API",
    "DESCRIPTION": "Billing and CRM in one place. Authenticate with `Authorization: Bearer <key>`.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],  # it names what customers never see
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["gtm.shared.api.schema.without_trailing_slash"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "LeadLifecycleEnum": "crm.models.Lead.Lifecycle",
        "AlertStateEnum": "crm.models.Alert.State",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- webhooks ----------------------------------------------------------------------------------
WEBHOOK_ALLOWED_HOSTS = env.hosts("WEBHOOK_ALLOWED_HOSTS")

# --- words, numbers, times ---------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("id", "Bahasa Indonesia"),
]  # as each names itself
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
ENGLISH_PAGES = ("/admin/", "/api/", "/crm/", "/health", "/help/", "/readyz", "/reports/", "/styleguide/", "/today/")
FORMAT_MODULE_PATH = "gtm.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- files -------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": DATA_DIR / "media"}},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_MANIFEST_STRICT = False

# --- mail, payments ----------------------------------------------------------------------------
EMAIL_URL = env.text("EMAIL_URL")
for _name, _value in env.email(EMAIL_URL).items():
    globals()[_name] = _value
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM", "Tandem <billing@localhost>")
INBOUND_MAIL_ADDRESS, INBOUND_MAIL_SECRET = env.text("INBOUND_MAIL_ADDRESS"), env.text("INBOUND_MAIL_SECRET")
MAIL_ATTACHMENTS = "billing.documents.attachments"
HOSTED_LINK_DAYS = env.number("HOSTED_LINK_DAYS", 60)
STRIPE_SECRET_KEY, STRIPE_PUBLISHABLE_KEY = env.text("STRIPE_SECRET_KEY"), env.text("STRIPE_PUBLISHABLE_KEY")
STRIPE_TEST_SECRET_KEY = env.text("STRIPE_TEST_SECRET_KEY")  # for customers in test mode, beside a live key
STRIPE_TEST_PUBLISHABLE_KEY = env.text("STRIPE_TEST_PUBLISHABLE_KEY")
STRIPE_WEBHOOK_SECRETS = env.names("STRIPE_WEBHOOK_SECRETS")
STRIPE_API_BASE, STRIPE_SCRIPT = env.text("STRIPE_API_BASE"), env.text("STRIPE_SCRIPT")  # a double's, in tests

# --- logs --------------------------------------------------------------------------------------
LOG_FORMAT = env.text("LOG_FORMAT", "console")
LOG_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    without_keys,
    structlog.processors.format_exc_info,  # without local variables, which may hold what somebody typed
]
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *LOG_PROCESSORS,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
_ROUTINE_LOGGERS = ("celery.app.trace", "celery.beat", "celery.worker.strategy", "django_structlog.celery")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.JSONRenderer()
            if LOG_FORMAT == "json"
            else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
            "foreign_pre_chain": LOG_PROCESSORS,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {
        "django.server": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        # Beat's tasks run every few seconds: only what fails is worth a line; the health page shows the last successes.
        **{name: {"level": "WARNING"} for name in _ROUTINE_LOGGERS},
        "stripe": {"level": "WARNING"},  # below it, its library writes down what banks say about people's cards
    },
}

# --- back office -------------------------------------------------------------------------------
UNFOLD: dict[str, object] = {
    "SITE_TITLE": "gtm.backoffice.site_title",
    "SITE_HEADER": "gtm.backoffice.site_title",
    "SITE_URL": "/pricing/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "gtm.backoffice.favicon"}],
    "STYLES": ["gtm.backoffice.stylesheet", "gtm.backoffice.tokens", "gtm.backoffice.badges"],
    "BORDER_RADIUS": "6px",
    "COLORS": "gtm.backoffice.colors",
    "DASHBOARD_CALLBACK": "gtm.backoffice.dashboard",
    "ACCOUNT": {"navigation": "gtm.backoffice.account_links"},
    "SIDEBAR": {"show_search": True, "navigation": "gtm.backoffice.navigation"},
    "SHOW_BACK_BUTTON": False,
}
