# syntax=docker/dockerfile:1
#
#   docker build -t partywall:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t registry.example.com/partywall:0.1.0 --push .
#
# Both architectures are compiled on the builder's own, so no emulation. The same sources and base
# images give the same binary; with --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) and
# --output type=image,rewrite-timestamp=true the same image. Tags move: pin both bases by digest
# (FROM name:tag@sha256:…) in your build.

FROM --platform=$BUILDPLATFORM rust:1.95-slim-bookworm AS build
ARG TARGETARCH
# `otlp` exports spans; empty leaves it out.
ARG FEATURES=otlp
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
# aws-lc is C: it wants a compiler and a libc for the target. Debian's cross compilers are of the
# same release as the base image below, and so is the glibc. (Their versions are not pinned: Debian
# keeps only the newest of a release.)
ENV CC_x86_64_unknown_linux_gnu=x86_64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# hadolint ignore=DL3008
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) cpu=x86_64; cross="gcc-x86-64-linux-gnu" ;; \
        arm64) cpu=aarch64; cross="gcc-aarch64-linux-gnu" ;; \
        *) echo "no build for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    echo "$cpu-unknown-linux-gnu" > /target; \
    rustup target add "$(cat /target)"; \
    if [ "$(uname -m)" != "$cpu" ]; then \
        apt-get update; \
        apt-get install -y --no-install-recommends "$cross" "libc6-dev-$TARGETARCH-cross"; \
        rm -rf /var/lib/apt/lists/*; \
    fi
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY tests/fixtures tests/fixtures
# Paths of the build stay out of the binary.
ENV RUSTFLAGS="--remap-path-prefix=/src=partywall --remap-path-prefix=/usr/local/cargo=cargo"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=partywall-$TARGETARCH \
    set -eu; \
    target=$(cat /target); \
    cargo build --release --locked --bin partywall --target "$target" --features "$FEATURES"; \
    cp "target/$target/release/partywall" /partywall

# glibc and libgcc, certificates, a user without rights; no shell. (musl would do too, but its
# allocator is slow under many threads.)
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="partywall" \
      org.opencontainers.image.description="Keeps tenants apart in front of one shared Thanos or Prometheus and one shared Tempo" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /partywall /usr/local/bin/partywall
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/partywall"]
CMD ["serve", "--config", "/etc/partywall/partywall.yaml"]
# No HEALTHCHECK: there is nothing in the image to run one with. Probe /-/healthy and /-/ready.
