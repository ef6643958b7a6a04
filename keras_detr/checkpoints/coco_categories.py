"""The categories of COCO, and of its panoptic task: the ids that are in use, and their names.

COCO numbers its categories 1 to 90 and uses 80 of these numbers. The class head of the official
DETR and Deformable DETR has one row for every number from 0 to 90: row `i` scores category id
`i`, and the rows of the unused ids were never trained.

Source: Lin et al. 2014, the `categories` of instances_val2017.json; `num_classes = 91` in
facebookresearch/detr models/detr.py.
"""

_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

COCO_CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in _UNUSED_IDS)

# Stuff, such as sky and grass, which the panoptic task adds to the things.
_STUFF_IDS = (
    *(92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147),
    *(148, 149, 151, 154, 155, 156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181),
    *range(184, 201),
)
COCO_PANOPTIC_CATEGORY_IDS = (*COCO_CATEGORY_IDS, *_STUFF_IDS)

COCO_CLASS_NAMES = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,
    stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,
    backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,
    baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,
    banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,
    bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
    refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush""".replace(
        "\n    ", ""
    ).split(",")
)
