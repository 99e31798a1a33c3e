# Two stages: one that has pip and builds, one that has what runs.
#   docker build -t understudy .
#   docker run --rm -p 127.0.0.1:8700:8700 understudy

FROM python:3.13-slim AS build

WORKDIR /build
RUN python -m venv --without-pip /opt/understudy

# The pinned packages first: they change less often than the code.
COPY requirements.lock ./
RUN pip --python /opt/understudy/bin/python install --no-cache-dir --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY validator validator
COPY mockserver mockserver
COPY specs specs
COPY tests/specs tests/specs
RUN pip --python /opt/understudy/bin/python install --no-cache-dir --no-deps . \
    && /opt/understudy/bin/python -m compileall -q /opt/understudy/lib


FROM python:3.13-slim

LABEL org.opencontainers.image.title="understudy" \
      org.opencontainers.image.description="A stand-in for paid, asynchronous video-generation APIs" \
      org.opencontainers.image.licenses="Apache-2.0"

# /data is for a store that outlives the container: UNDERSTUDY_STORE=sqlite:////data/understudy.db
RUN groupadd --gid 8700 understudy \
    && useradd --uid 8700 --gid 8700 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin understudy \
    && install -d -o understudy -g understudy /data

COPY --from=build /opt/understudy /opt/understudy
COPY docker/entrypoint.sh docker/health.py /opt/understudy/docker/

ENV PATH=/opt/understudy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UNDERSTUDY_HOST=0.0.0.0

USER 8700:8700
WORKDIR /data
VOLUME /data
EXPOSE 8700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["python", "/opt/understudy/docker/health.py"]

ENTRYPOINT ["sh", "/opt/understudy/docker/entrypoint.sh"]
CMD ["serve"]
