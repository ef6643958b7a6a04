"""The categories of COCO, and of its panoptic task: the ids that are in use, and their names.

COCO numbers its categories 1 to 90 and uses 80 of these numbers. The class head of the official
DETR and Deformable DETR has one row for every number from 0 to 90: row `i` scores category id
`i`, and the rows of the unused ids were never trained.

The panoptic task adds 53 kinds of stuff, of ids up to 200; its models have 250 rows.

Source: Lin et al. 2014, the `categories` of instances_val2017.json; Kirillov et al. 2019,
panoptic_coco_categories.json of cocodataset/panopticapi; `num_classes` in facebookresearch/detr
models/detr.py.
"""

_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

COCO_CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in _UNUSED_IDS)

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

_STUFF = {
    92: "banner", 93: "blanket", 95: "bridge", 100: "cardboard", 107: "counter", 109: "curtain",
    112: "door-stuff", 118: "floor-wood", 119: "flower", 122: "fruit", 125: "gravel",
    128: "house", 130: "light", 133: "mirror-stuff", 138: "net", 141: "pillow", 144: "platform",
    145: "playingfield", 147: "railroad", 148: "river", 149: "road", 151: "roof", 154: "sand",
    155: "sea", 156: "shelf", 159: "snow", 161: "stairs", 166: "tent", 168: "towel",
    171: "wall-brick", 175: "wall-stone", 176: "wall-tile", 177: "wall-wood", 178: "water-other",
    180: "window-blind", 181: "window-other", 184: "tree-merged", 185: "fence-merged",
    186: "ceiling-merged", 187: "sky-other-merged", 188: "cabinet-merged", 189: "table-merged",
    190: "floor-other-merged", 191: "pavement-merged", 192: "mountain-merged",
    193: "grass-merged", 194: "dirt-merged", 195: "paper-merged", 196: "food-other-merged",
    197: "building-other-merged", 198: "rock-merged", 199: "wall-other-merged",
    200: "rug-merged",
}  # fmt: skip

# The things come first.
COCO_PANOPTIC_CATEGORY_IDS = (*COCO_CATEGORY_IDS, *_STUFF)
COCO_PANOPTIC_CLASS_NAMES = (*COCO_CLASS_NAMES, *_STUFF.values())
NUM_COCO_PANOPTIC_ROWS = 250
