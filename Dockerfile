# The local stack (`make run`) as an image. Not verified: it was never built, for want of a Docker daemon.
#   docker build -t guarded-redrive . && docker run --rm -p 127.0.0.1:4566:4566 guarded-redrive
FROM python:3.13-slim

RUN useradd --create-home stack
WORKDIR /home/stack/app

COPY requirements-dev.txt .
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-dev.txt

# .local/stack.json is written beside the code.
COPY --chown=stack . .
RUN chown stack .
USER stack

# Inside a container loopback reaches nobody; publish the port on the host's loopback, as above.
ENV BIND_HOST=0.0.0.0 PORT=4566
EXPOSE 4566
CMD ["python", "-m", "local.run"]
