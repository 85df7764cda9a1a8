# The service in a container: runs `serve`; name `migrate` or another command to run it instead.
#   docker build -t seller-sync .
#   docker run -p 8000:8000 -v seller-sync:/data -e AUTH_SECRET=… -e SECRETS_KEYS=… seller-sync

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
WORKDIR /src
# Dependencies before code: this layer is rebuilt only when the lock changes.
COPY requirements.lock ./
RUN /opt/venv/bin/python -m pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY service ./service
COPY connectors ./connectors
RUN /opt/venv/bin/python -m pip install --no-deps .

FROM python:3.13-slim
# Numbers: they own the files of a volume, and Kubernetes checks them (runAsNonRoot).
RUN groupadd --gid 10001 sync \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin sync \
    && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATABASE_URL=sqlite:////data/sync.db
USER 10001:10001
WORKDIR /data
# After the folder has its owner: a new volume copies it from the image.
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]
# `python` is process 1 and receives signals itself, without a shell in between.
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
