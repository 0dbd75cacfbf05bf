# Glimpse as an image: docker build -t glimpse . (or podman). How it is run: compose.yaml and docs/containers.md.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS base
# Beside what the server needs: mariadb-client, by which ops backs a MariaDB up.
ARG PACKAGES=""
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 ca-certificates ${PACKAGES} \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
 && groupadd --system --gid 10001 glimpse \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/glimpse --shell /usr/sbin/nologin glimpse \
 && install -d -m 0700 -o glimpse -g glimpse /var/lib/glimpse

FROM base AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /opt/glimpse
COPY requirements.lock ./
RUN python3 -m venv --without-pip .venv \
 && python3 -m venv /opt/pip \
 && /opt/pip/bin/python -m pip --python .venv/bin/python install --no-cache-dir --require-hashes -r requirements.lock
COPY app/ app/
COPY chat/ chat/
COPY clients/js/src/ clients/js/src/
COPY config/ config/
COPY handlers/ handlers/
COPY httpclient/ httpclient/
COPY models/ models/
COPY ops/ ops/
COPY previewing/ previewing/
COPY push/ push/
COPY services/ services/
COPY storage/ storage/
COPY telemetry/ telemetry/
COPY transport/ transport/
COPY web/ web/
COPY server.py config.yaml pyproject.toml LICENSE ./
# The root is read-only when it runs: what is compiled is compiled here.
RUN python3 -m compileall -q -j 2 .

FROM base
COPY --from=build /opt/glimpse /opt/glimpse
WORKDIR /opt/glimpse
ENV PATH=/opt/glimpse/.venv/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 \
    GLIMPSE_DATA_DIR=/var/lib/glimpse GLIMPSE_SERVER__HOST=0.0.0.0 GLIMPSE_LOG__FORMAT=json
USER 10001:10001
VOLUME /var/lib/glimpse
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import http.client, sys; asked = http.client.HTTPConnection('127.0.0.1', 8080, timeout=4); \
asked.request('GET', '/readyz'); sys.exit(asked.getresponse().status != 200)"]
ENTRYPOINT ["python", "server.py"]
