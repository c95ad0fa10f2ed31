# The base image. Pin it by the digest that you have verified before you build for production:
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker compose build --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /opt/admit
COPY requirements.lock ./
RUN python -m venv .venv && \
    .venv/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock

FROM ${BASE}
# pg_dump and its like, for backups; of the version of the server in compose.yaml.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends postgresql-client-15 && \
    rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin admit && \
    mkdir -p /opt/admit/var && chown admit /opt/admit/var && chmod 700 /opt/admit/var
WORKDIR /opt/admit
COPY --from=build /opt/admit/.venv .venv
COPY manage.py pyproject.toml .env.example ./
COPY config config
COPY events events
COPY integrations integrations
COPY rules rules
COPY templates templates
RUN .venv/bin/python -m compileall -q manage.py config events integrations rules
USER admit
ENV PYTHONUNBUFFERED=1 PATH=/opt/admit/.venv/bin:$PATH
VOLUME /opt/admit/var
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["up", "--migrate", "--bind", "0.0.0.0:8000"]
