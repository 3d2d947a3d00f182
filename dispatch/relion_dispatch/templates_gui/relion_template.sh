XXXoutfileXXX
XXXerrfileXXX
# name: XXXnameXXX
# queue: XXXqueueXXX
# mpinodes: XXXmpinodesXXX
# threads: XXXthreadsXXX
# cores: XXXcoresXXX
# dedicated: XXXdedicatedXXX
# nodes: XXXnodesXXX
# extra1: XXXextra1XXX
# extra2: XXXextra2XXX
# extra3: XXXextra3XXX
# extra4: XXXextra4XXX
# extra5: XXXextra5XXX
# extra6: XXXextra6XXX
# extra7: XXXextra7XXX
# extra8: XXXextra8XXX
# extra9: XXXextra9XXX
# extra10: XXXextra10XXX
# extra11: XXXextra11XXX
# extra12: XXXextra12XXX
# extra13: XXXextra13XXX
# extra14: XXXextra14XXX
# extra15: XXXextra15XXX
XXXcommandXXX
