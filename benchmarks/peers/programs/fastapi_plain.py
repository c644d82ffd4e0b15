"""Plain FastAPI: an upload and a synchronous function. Session and server have their defaults.

uvicorn fastapi_plain:app
"""

from detector import Detector
from fastapi import FastAPI, UploadFile

app = FastAPI()
detector = Detector()


@app.post("/detect")
def detect(file: UploadFile) -> dict[str, list[list[float]]]:
    """Answer from the thread pool, while the event loop goes on."""
    return {"detections": detector(file.file.read())}
