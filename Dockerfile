# Orlop with everything that its nodes use, on Debian. For networks that reach a registry; packaging/image.sh makes the same
# image from nothing but Debian's packages.
#
#     docker build -t orlop:local .

FROM debian:12-slim AS base
COPY packaging/packages /tmp/packages
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(cat /tmp/packages) \
    && rm -rf /var/lib/apt/lists/* /tmp/packages

FROM base AS build
ARG PROFILE=release
WORKDIR /orlop
COPY . .
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends make && make setup
RUN PATH="$HOME/.cargo/bin:$PATH" cargo build --locked --profile "$PROFILE" --bin orlop \
    && cp "target/$PROFILE/orlop" /usr/local/bin/orlop

FROM base
COPY packaging/container.sh packaging/ganesha.conf /usr/local/lib/orlop/
COPY examples/busybox-image.sh /usr/local/lib/orlop/
COPY --from=build /usr/local/bin/orlop /usr/local/bin/orlop
ENTRYPOINT ["/bin/sh", "/usr/local/lib/orlop/container.sh"]
