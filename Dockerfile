# One image for the driver and the executors, so that workers import what the driver does.
#
#   docker build -t curate .
#   docker run curate curate doctor
#   docker run --network host curate spark-class org.apache.spark.deploy.worker.Worker spark://host:7077

FROM python:3.12-slim-bookworm AS build
# pdqhash is compiled.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python -m venv /opt/curate && make install PYTHON=/opt/curate/bin/python

FROM python:3.12-slim-bookworm
COPY scripts/java.sh /tmp/java.sh
RUN mkdir -p /usr/share/man/man1 && /tmp/java.sh && rm -rf /tmp/java.sh /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 curate
COPY --from=build /opt/curate /opt/curate
ENV PATH=/opt/curate/bin:$PATH PYSPARK_PYTHON=/opt/curate/bin/python
USER 10001
WORKDIR /home/curate
CMD ["curate", "--help"]
