# npmx-registry as an image: the one binary, the C library that it is linked with, and nothing else.
# No shell, no package manager, no interpreter on the path. Build and run:
#
#   docker build --build-arg COMMIT="$(git rev-parse HEAD)" -t npmx-registry .
#   docker run -p 6769:6769 -v npmx:/data --read-only --cap-drop ALL \
#     -e NPMX_REGISTRY_PUBLIC_URL=https://npm.example.org/ npmx-registry
#
# Only /data is written to, so the root can be read-only. docs/operating.md, "Container".

ARG BUN_VERSION=1.4.5

FROM oven/bun:${BUN_VERSION} AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --ignore-scripts
COPY . .
ARG COMMIT=
RUN BUILD_COMMIT="$COMMIT" bun scripts/build.ts
# What the dynamic linker will look for, at the same paths, whatever the architecture is. Names are
# looked up by the C library itself; without nsswitch.conf it would ask DNS before /etc/hosts.
RUN mkdir -p /image/usr/local/bin /image/etc /image/data \
  && cp dist/npmx-registry /image/usr/local/bin/ \
  && for library in $(ldd dist/npmx-registry | grep -o '/[^ ]*'); do \
       cp --parents --dereference "$library" /image; \
     done \
  && echo 'npmx-registry:x:65532:65532:npmx-registry:/data:/usr/local/bin/npmx-registry' \
       > /image/etc/passwd \
  && echo 'npmx-registry:x:65532:' > /image/etc/group \
  && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
  && chmod 0700 /image/data

FROM scratch
ARG COMMIT=
LABEL org.opencontainers.image.title="npmx-registry" \
      org.opencontainers.image.description="A verified, recorded way to install npm packages" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /image/etc /etc
COPY --from=build /image/lib /lib
COPY --from=build /image/lib64* /lib64/
COPY --from=build --chown=65532:65532 /image/data /data
COPY --from=build /image/usr/local/bin/npmx-registry /usr/local/bin/npmx-registry
ENV NPMX_REGISTRY_LISTEN=0.0.0.0:6769 \
    NPMX_REGISTRY_DATA_DIR=/data
# By number, so that an engine can see that it is not root.
USER 65532:65532
# SQLite puts temporary files here where there is no /tmp.
WORKDIR /data
VOLUME /data
EXPOSE 6769
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/npmx-registry", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/npmx-registry"]
CMD ["serve"]
