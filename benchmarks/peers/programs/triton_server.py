"""Run NVIDIA Triton from the wheel nvidia-pytriton, which has its binary and its Python backend.

python triton_server.py PORT
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from detector import CORES

CONFIG = 'name: "detect"\nbackend: "python"\n' + f"instance_group [{{ count: {CORES}, kind: KIND_CPU }}]\n"
HERE = Path(__file__).parent


def main(port: str) -> None:
    """Lay out the backend for this Python and a model repository, and become the server."""
    packages = Path(sysconfig.get_paths()["purelib"])
    wheel = packages / "pytriton" / "tritonserver"
    folder = Path(os.environ["PEER_FOLDER"])
    shutil.copytree(wheel / "backends", folder / "backends")
    stub = wheel / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(stub / "triton_python_backend_stub", folder / "backends" / "python")
    version = folder / "models" / "detect" / "1"
    version.mkdir(parents=True)
    shutil.copy(HERE / "triton_model.py", version / "model.py")
    shutil.copy(HERE / "detector.py", version)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    libraries = f"{packages / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    os.environ |= {"LD_LIBRARY_PATH": libraries, "PYTHONPATH": str(packages)}
    places = [f"--model-repository={folder / 'models'}", f"--backend-directory={folder / 'backends'}"]
    listen = ["--http-address=127.0.0.1", f"--http-port={port}", f"--http-thread-count={2 * CORES}"]
    binary = str(wheel / "bin" / "tritonserver")
    os.execv(binary, [binary, *places, *listen, "--allow-grpc=false", "--allow-metrics=false"])


main(sys.argv[1])
