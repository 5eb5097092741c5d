# The production image: the daemon alone, without sandbox, demo and private servers.
#
#   docker build -t usage-sync .
#   docker run --env-file production.env usage-sync            # the worker
#   docker run --env-file production.env usage-sync usage-sync migrate
#
# The runtime has a shell and curl because Heroku wraps commands in `sh` and
# streams the output of the release phase with curl.

ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
ARG CARGO_PROFILE=release
WORKDIR /app

# The dependencies, in a layer of their own: they change less often than the source.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --no-default-features --profile "${CARGO_PROFILE}" --bin usage-sync

COPY config ./config
COPY migrations ./migrations
COPY src ./src
# Copied files keep their times, and older ones than those just built would count as built.
RUN touch src/main.rs src/lib.rs \
    && cargo install --locked --no-default-features --profile "${CARGO_PROFILE}" --path . --root /out

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="usage-sync" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/bin/usage-sync /usr/local/bin/usage-sync
# Heroku runs it under a user of its own choice; nothing is written to the disk.
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["usage-sync", "run"]
