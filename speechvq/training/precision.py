"""bfloat16 where the hardware multiplies it natively, else float32."""

import torch


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to train with bfloat16 products.

    Parameters
    ----------
    precision : {"auto", "bfloat16", "float32"}
        "auto" asks the hardware: emulated bfloat16 is slower than float32.
    device : torch.device
        Where the products are computed.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    # older torch keeps the question private
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
