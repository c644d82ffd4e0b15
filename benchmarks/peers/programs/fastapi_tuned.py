"""Tuned FastAPI: raw bodies, one thread per run, one run per core, orjson, uvloop and httptools.

uvicorn fastapi_tuned:app --no-access-log
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import orjson
from detector import CORES, Detector
from fastapi import FastAPI, Request, Response

app = FastAPI()
detector = Detector(threads=1)
workers = ThreadPoolExecutor(CORES)


@app.post("/detect")
async def detect(request: Request) -> Response:
    """Run on a worker thread, at most one per core."""
    detections = await asyncio.get_running_loop().run_in_executor(workers, detector, await request.body())
    return Response(orjson.dumps({"detections": detections}), media_type="application/json")
