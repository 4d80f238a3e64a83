"""The same model of timm, in PyTorch's eager mode with its AdamW. See benchmark_step.py."""

import runpy

from serve import ROOT, serve

CLASSES = 1000


def make_step(num_threads, model, batch_size, image_size, label_smoothing):
    import torch

    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    peers = runpy.run_path(str(ROOT / "tflite" / "peers" / "torch_peers.py"))
    network = peers["random_model"](model).train().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, weight_decay=0.05)
    cross_entropy = torch.nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    images = torch.rand(batch_size, 3, image_size, image_size, device=device)
    labels = torch.randint(0, CLASSES, (batch_size,), device=device)

    def step():
        optimizer.zero_grad()
        loss = cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    name = torch.cuda.get_device_name() if cuda else "CPU"
    return step, name, torch.cuda.max_memory_allocated if cuda else None


if __name__ == "__main__":
    serve(make_step)
