import archwright as aw
from archwright.operators import Classifier, Conv, MBConv, Sequential

block = MBConv(channels=24, kernel=aw.oneof(3, 5), expand=aw.oneof(2, 3, 4))  # choices may stand in any field
space = aw.Space(
    Sequential((Conv(channels=aw.oneof(8, 16), stride=2), aw.repeat(block, times=aw.between(1, 3)), Classifier(10)))
)
run = aw.search(space, data="digits", subject_to="params_m<=0.05", budget="30s", out="runs/quickstart")
print(run.architecture, run.metrics["accuracy_percent"])  # run.network is a trained torch module
